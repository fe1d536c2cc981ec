//! An HTTP server of the test: answers each request as it is told, and remembers what came.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// How a request is answered.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Status(u16),
    /// The connection is closed without a word.
    Close,
    /// Nothing comes, and the connection stays.
    Hang,
}

pub(crate) struct Receiver {
    address: SocketAddr,
    came: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Answers the first requests as listed, all further ones like the last.
    pub(crate) fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (came, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, stopped, answers) = (Arc::clone(&came), Arc::clone(&stop), answers.to_vec());
        let thread = std::thread::spawn(move || {
            let mut held = Vec::new();
            for (at, stream) in listener.incoming().enumerate() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                log.lock().unwrap().push(read(&mut stream));
                match answers[at.min(answers.len() - 1)] {
                    Answer::Status(status) => {
                        let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
                        let _ = write!(stream, "{head}content-length: 4\r\n\r\nsaid");
                    }
                    Answer::Close => {}
                    Answer::Hang => held.push(stream),
                }
            }
        });
        Self { address, came, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/services/SECRET", self.address)
    }

    /// Heads and bodies so far.
    pub(crate) fn came(&self) -> Vec<String> {
        self.came.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// One request with its body.
fn read(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let n = stream.read(&mut buffer).unwrap_or(0);
        bytes.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&bytes);
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().ok())?
        });
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.len());
        if n == 0 || body.is_some_and(|n| n >= length.unwrap_or(0)) {
            return text.into_owned();
        }
    }
}
