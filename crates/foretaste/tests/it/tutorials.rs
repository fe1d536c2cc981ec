//! The tutorials, run as they are written: every `sh` block, in order, against a private server.
//! Only ports are others.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::program::items_of;
use crate::servers::{Kind, Server};

#[test]
fn matomo_on_mariadb() {
    Server::start(Kind::MariaDb).iter().for_each(|server| follow("tutorial-matomo.md", server));
}

#[test]
fn marketplace_on_postgres() {
    Server::start(Kind::Postgres).iter().for_each(|server| follow("tutorial-postgres.md", server));
}

fn follow(name: &str, server: &Server) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let text = fs_err::read_to_string(path).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let database = server.url.split("127.0.0.1:").last().unwrap().split('/').next().unwrap();
    let script = blocks(&text)
        .replace("3306", database)
        .replace("5432", database)
        .replace("serve --follow", &format!("serve --follow --listen 127.0.0.1:{port}"))
        .replace("localhost:8080", &format!("127.0.0.1:{port}"));
    let dir = tempfile::tempdir().unwrap();
    let binaries = Path::new(env!("CARGO_BIN_EXE_foretaste")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let ending = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT";
    let done = Command::new("timeout")
        .args(["300", "bash", "-euo", "pipefail", "-c", &format!("{ending}\n{script}")])
        .current_dir(dir.path())
        .env("PATH", path)
        .output()
        .unwrap();
    let (out, errors) =
        (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{name}: {out}\n{errors}");
    let before = fs_err::read_to_string(dir.path().join("before.json")).unwrap();
    let after = fs_err::read_to_string(dir.path().join("after.json")).unwrap();
    assert_eq!(items_of(&before).len(), 3, "{before}");
    assert_ne!(items_of(&before), items_of(&after), "an order changes the answer");
    assert!(after.contains("because"), "{after}");
}

/// What stands in the `sh` blocks of a text.
fn blocks(text: &str) -> String {
    let parts = text.split("```").skip(1).step_by(2);
    let blocks: Vec<_> = parts.filter_map(|part| part.strip_prefix("sh\n")).collect();
    assert!(blocks.len() >= 4, "{blocks:?}");
    blocks.join("\n")
}
