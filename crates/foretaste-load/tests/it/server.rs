//! A server that does what a test wants: one thread per connection, blocking, HTTP/1.1.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use foretaste_load::result::RunResult;
use foretaste_load::run::{Generator, NoWatch};
use foretaste_load::scenario::Scenario;
use foretaste_load::target::Target;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub first_line: String,
    pub body: String,
    pub connection: usize,
    pub answered: Instant,
}

/// What to answer, from the number of the request; `None` closes the connection instead. An answer
/// with `connection: close` is the last of its connection.
pub type Behaviour = dyn Fn(usize) -> Option<Vec<u8>> + Send + Sync;

pub struct Server {
    pub at: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

impl Server {
    /// Serves until the process ends.
    pub fn start(behaviour: impl Fn(usize) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind");
        let at = listener.local_addr().expect("address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, behaviour): (_, Arc<Behaviour>) = (Arc::clone(&seen), Arc::new(behaviour));
        let count = Arc::new(AtomicUsize::new(0));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (log, behaviour, count) =
                    (Arc::clone(&log), Arc::clone(&behaviour), Arc::clone(&count));
                let stream = stream.expect("accept");
                std::thread::spawn(move || serve(stream, connection, &log, &*behaviour, &count));
            }
        });
        Self { at, seen }
    }

    pub fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().expect("no panic")
    }

    pub fn target(&self) -> Target {
        Target::parse(&format!("http://{}", self.at)).expect("address")
    }
}

fn serve(
    mut stream: TcpStream,
    connection: usize,
    log: &Mutex<Vec<Seen>>,
    behaviour: &Behaviour,
    count: &AtomicUsize,
) {
    let _ = stream.set_nodelay(true);
    let mut reader = BufReader::new(stream.try_clone().expect("clone"));
    while let Some((first_line, body)) = read_request(&mut reader) {
        let Some(answer) = behaviour(count.fetch_add(1, Ordering::SeqCst)) else { return };
        // Held while writing: whoever has the answer finds it in the log.
        let mut log = log.lock().expect("no panic");
        if stream.write_all(&answer).is_err() {
            return;
        }
        log.push(Seen { first_line, body, connection, answered: Instant::now() });
        drop(log);
        if String::from_utf8_lossy(&answer).contains("connection: close") {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let length = lines.iter().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((lines.swap_remove(0), String::from_utf8(body).ok()?))
}

pub fn scenario(text: &str) -> Scenario {
    Scenario::parse(text, "test", Path::new(".")).expect("sound")
}

/// Runs a scenario against a server.
pub fn run(text: &str, server: &Server) -> RunResult {
    let mut generator = Generator::new(&scenario(text), &server.target(), "t").expect("listens");
    generator.run(0, &NoWatch).expect("runs")
}
