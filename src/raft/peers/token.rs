//! Token: what an operator carries to a new node, so that it may join.
//!
//! It holds the address of a node, the key of the cluster's authority, by which the new node knows whom it speaks to,
//! and the seed of a key of its own, which opens the peer port while the token lives. The cluster's secret is not in
//! it: that travels over the connection that the token opens.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::keys::{PrivateKey, PublicKey};
use crate::error::Error;
use crate::random;

/// What every token begins with, so that a person sees what it is.
const PREFIX: &str = "sojourn-join-";
/// Format, authority, seed, and then the address.
const FORMAT: u8 = 1;

/// What the log knows a token by: its key, and the authority that it was made under. One from before a rotation of the
/// cluster's secret is unknown.
pub fn pass(authority: &PublicKey, key: &PublicKey) -> [u8; 32] {
    Sha256::new().chain_update(authority).chain_update(key).finalize().into()
}

/// A join token. Never printed but by [`Token::text`].
pub struct Token {
    /// `host:port` of the peer port of a node.
    pub address: String,
    /// The key of the cluster's authority.
    pub authority: PublicKey,
    seed: [u8; 32],
}

impl Token {
    /// A new token for the cluster of this authority.
    pub fn draw(address: String, authority: PublicKey) -> Self {
        Self { address, authority, seed: random::bytes() }
    }

    /// The key that opens the peer port.
    pub fn key(&self) -> PrivateKey {
        PrivateKey::of_seed(&self.seed)
    }

    /// What the operator carries.
    pub fn text(&self) -> String {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&self.authority);
        bytes.extend_from_slice(&self.seed);
        bytes.extend_from_slice(self.address.as_bytes());
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Malformed("this is no join token\nhint: `sojourn cluster token` prints one".into());
        let encoded = text.trim().strip_prefix(PREFIX).ok_or_else(wrong)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| wrong())?;
        let (&format, rest) = bytes.split_first().ok_or_else(wrong)?;
        let (authority, rest) = rest.split_first_chunk::<32>().ok_or_else(wrong)?;
        let (seed, address) = rest.split_first_chunk::<32>().ok_or_else(wrong)?;
        let address = std::str::from_utf8(address).map_err(|_| wrong())?;
        if format != FORMAT || address.is_empty() {
            return Err(wrong());
        }
        Ok(Self { address: address.to_owned(), authority: *authority, seed: *seed })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(to {})", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let token = Token::draw("127.0.0.1:3001".into(), [7; 32]);
        let read: Token = format!(" {}\n", token.text()).parse().expect("a token");
        assert_eq!((&read.address, read.authority), (&token.address, [7; 32]));
        assert_eq!(read.key().public(), token.key().public());
    }

    #[test]
    fn anything_else_is_refused_with_a_hint() {
        let text = Token::draw("127.0.0.1:3001".into(), [7; 32]).text();
        let cut = &text[..text.len() - 30];
        for wrong in ["", "sojourn-join-", "hello", cut, &text.replacen("AQ", "Ag", 1)] {
            let told = wrong.parse::<Token>().expect_err(wrong).to_string();
            assert!(told.contains("hint:"), "{told}");
        }
    }
}
