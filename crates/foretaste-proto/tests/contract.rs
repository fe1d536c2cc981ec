//! The committed code is what the proto file says.

mod generate;

#[test]
fn the_code_follows_from_the_proto_file() {
    let committed = fs_err::read_to_string(generate::committed_at()).expect("code");
    let again = "run `cargo run -p foretaste-proto --example generate` and commit the result";
    assert!(committed == generate::generated(), "{again}");
}
