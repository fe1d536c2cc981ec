//! Runs of the program in a folder of their own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

#[allow(dead_code, reason = "tests of long runs use more of it")]
#[path = "../it/disk.rs"]
pub(crate) mod disk;

use disk::SmallDisk;

/// A folder with a data folder in it, removed in the end.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs_err::write(&path, text).unwrap();
        path
    }

    /// `foretaste --data DATA ARGS`, with ARGS split at spaces, in this folder.
    pub(crate) fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foretaste"));
        command.current_dir(self.dir.path()).args(["--data", "data", "--quiet"]);
        command.args(args.split_whitespace()).stdin(Stdio::null());
        command
    }

    /// What a command prints that must end well.
    #[track_caller]
    pub(crate) fn run(&self, args: &str) -> String {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{args}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What a command says that must fail.
    #[track_caller]
    pub(crate) fn fail(&self, args: &str) -> String {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        assert!(!status.success(), "{args}: {}", text(&stdout));
        assert!(stdout.is_empty(), "{args}: results of a failure: {}", text(&stdout));
        text(&stderr)
    }

    /// A command that must fail, with all of `said` in what it says.
    #[track_caller]
    pub(crate) fn refuses(&self, args: &str, said: &[&str]) {
        let error = self.fail(args);
        for part in said {
            assert!(error.contains(part), "{args}: {error}");
        }
    }

    /// Puts what is in a folder on a small disk in its place. `None`, with the folder away, where
    /// nothing may be mounted.
    pub(crate) fn on_small_disk(&self, folder: &Path, size: &str) -> Option<SmallDisk> {
        let elsewhere = self.path("elsewhere");
        fs_err::rename(folder, &elsewhere).unwrap();
        let disk = SmallDisk::mount(folder.to_owned(), size)?;
        for entry in fs_err::read_dir(&elsewhere).unwrap() {
            let entry = entry.unwrap();
            fs_err::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        Some(disk)
    }

    pub(crate) fn serve(&self) -> Server {
        let log = fs_err::File::create(self.path("log")).unwrap().into_parts().0;
        let mut command = self.command("serve --listen 127.0.0.1:0");
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit("//").next().unwrap_or_default().to_owned();
        assert!(!address.is_empty(), "{}", self.log());
        Server { child, address }
    }

    pub(crate) fn log(&self) -> String {
        fs_err::read_to_string(self.path("log")).unwrap()
    }
}

/// A server; killed with SIGKILL when it goes out of scope.
pub(crate) struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Status and body of a request.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, body) = self.ask_text(method, path, body);
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// Status and body of a request, as they came.
    pub(crate) fn ask_text(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let n = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: it\r\nconnection: close\r\n");
        let kind = format!("content-type: application/json\r\ncontent-length: {n}\r\n\r\n");
        stream.write_all(format!("{head}{kind}{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, body.to_owned())
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Lines `user item item ...`: `n_users` users, each of one of four groups, with eight of the ten
/// items of the group (item i is of group i % 4) and one stray item.
pub(crate) fn lists(n_users: usize) -> String {
    let line = |user: usize| {
        let (group, left_out) = (user % 4, user / 4 % 10);
        let own = (0..10).filter(|j| *j != left_out && *j != (left_out + 3) % 10);
        let own: Vec<String> = own.map(|j| format!("i{}", 4 * j + group)).collect();
        let stray = 4 * (user / 7 % 10) + (group + 1) % 4;
        format!("u{user} {} i{stray}\n", own.join(" "))
    };
    (0..n_users).map(line).collect()
}

pub(crate) fn lines(path: &Path) -> Vec<Vec<String>> {
    let text = fs_err::read_to_string(path).unwrap();
    text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}
