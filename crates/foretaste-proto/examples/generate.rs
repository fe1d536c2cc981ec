//! Writes `proto/foretaste.v1.rs` anew, to be run after a change of the proto file.

#[path = "../tests/generate/mod.rs"]
mod generate;

fn main() {
    let text = generate::generated();
    fs_err::write(generate::committed_at(), text).expect("proto/foretaste.v1.rs can be written");
}
