//! Access rules from files, and every way to get them wrong.

use super::*;

#[test]
fn access_rules_are_read_checked_and_printed() {
    let toml = "[[access]]\nhost = \"App.Example.com\"\npath = \"/admin/\"\ngroups = [\"admins\"]\nmethods = [\"GET\"]\n\
                [[access]]\nhost = \"*.example.com\"\npublic = true\n[web]\nlisten = \"127.0.0.1:4000\"";
    let first = given(toml);
    let rules = first.load().access;
    let shown: Vec<String> = rules.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["GET app.example.com/admin", "*.example.com/"]);
    assert!(rules[0].groups == ["admins"] && !rules[0].public && rules[1].public);
    let printed = first.print();
    assert!(printed.contains("  { host = \"*.example.com\", public = true },\n]"), "{printed}");
    assert_eq!(given(&printed).load().access, rules);
    assert_eq!(given("access = []").load().access, []);
    let one = given("[[access]]\nhost = \"[2001:DB8:0::0A]\"").load().access;
    assert_eq!(one[0].to_string(), "[2001:db8::a]/", "an address has many forms, and rules know one");
}

#[test]
fn access_rules_that_are_wrong_are_named_with_a_way_out() {
    let wrong = |toml: &str| given(toml).wrong();
    insta::assert_snapshot!(wrong("[[access]]\nhots = \"a.example\"\npath = \"admin\"\nmethods = [\"get\"]"), @r#"
    access rule 1 (from sojourn.toml): unknown key hots
      hint: did you mean host? a rule has host, path, methods, groups, public
    access rule 1 (from sojourn.toml): host is missing
      hint: host = "app.example.com"
    access rule 1 (from sojourn.toml): path = "admin" is no path
      hint: it begins with a slash: "/admin"
    access rule 1 (from sojourn.toml): "get" is no method
      hint: write it as it is sent: "GET"
    "#);
    let two = "[[access]]\nhost = \"a.example\"\npath = \"/x\"\ngroups = [\"g\"]\n\
               [[access]]\nhost = \"A.example\"\npath = \"/X/\"\ngroups = [\"h\"]";
    insta::assert_snapshot!(wrong(two), @"
    access rules 1 (a.example/x) and 2 (a.example/X) are equally specific and say different things
      hint: make one of them, or give one a longer path
    ");
    assert!(wrong("[[access]]\nhost = \"a.example\"\npublic = true\ngroups = [\"g\"]").contains("contradict"));
    for (line, hint) in [
        ("host = \"https://a.example\"", "name the host alone"),
        ("host = \"a.example:443\"", "leave out the port"),
        ("host = \"*\"", "all hosts below it"),
        ("host = \"a.example\"\npath = \"/a*\"", "a path is a prefix"),
        ("host = \"a.example\"\npath = \"/a%20b\"", "write it decoded"),
        ("host = \"a.example\"\npath = \"/a/../b\"", "dot segments"),
        ("host = \"a.example\"\npath = \"//\"", "no //"),
        ("host = \"a.example\"\nmethods = [\"HEAD\"]", "leave it out"),
        ("host = \"a.example\"\nmethods = \"GET\"", "put brackets around it"),
        ("host = \"a.example\"\ngroups = [\"a,b\"]", "no comma"),
        ("host = \"a.example\"\npublic = \"yes\"", "public = true"),
        ("host = 5", "put it in quotes"),
    ] {
        let told = wrong(&format!("[[access]]\n{line}"));
        assert!(told.contains(hint) && told.contains("access rule 1"), "{line}: {told}");
    }
    assert!(wrong("access = \"x\"").contains("write [[access]]"));
    assert!(wrong("[access]\nhost = \"a.example\"").contains("write [[access]]"));
    let set = given("").env("SOJOURN_ACCESS", "x").wrong();
    assert!(set.contains("SOJOURN_ACCESS") && set.contains("in the file alone"), "{set}");
}

#[test]
fn rules_that_say_the_same_or_differ_in_methods_stand_together() {
    let rule = |more: &str| format!("[[access]]\nhost = \"a.example\"\n{more}\n");
    let fine = [rule("groups = [\"g\", \"h\"]"), rule("groups = [\"h\", \"g\"]"), rule("methods = [\"GET\"]")].concat();
    assert_eq!(given(&fine).load().access.len(), 3);
    let meet = [rule("methods = [\"GET\", \"PUT\"]"), rule("methods = [\"PUT\"]\npublic = true")].concat();
    assert!(given(&meet).wrong().contains("(GET,PUT a.example/) and 2 (PUT a.example/)"));
}
