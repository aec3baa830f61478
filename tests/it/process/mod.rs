//! Process: what is promised of the program as a process, tried on the real binary.
//!
//! `kills`: nothing acknowledged is lost, however it ends. `cluster`: several of them; `growing`: more, and fewer.
//! `partitions`: and the network between them is cut. `disk`, `files`: and one's disk is full, fails, or is not what it
//! was. `rolling`: behind a balancer. `proxies`: between people and services. `rotation`: another secret. `flood`:
//! strangers at the peer ports. `stop`: signals, and who may run beside whom. `first_admin`, `commands`, `credentials`,
//! `import_redis`: the command line. `backups`, `damage`, `private`: what lies on the disk.

mod backups;
pub mod cluster;
mod commands;
mod credentials;
mod crowd;
mod damage;
pub mod dice;
mod disk;
mod files;
mod first_admin;
mod flood;
mod growing;
mod import_redis;
mod kills;
mod load;
mod partitions;
mod private;
mod proxies;
mod rolling;
mod rotation;
mod stop;
mod witness;

pub use dice::Dice;
