//! A connection and the request that is on it.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::TcpStream;

use super::Pending;
use super::alarm::Poller;
use crate::requests::{Requests, Scratch};
use crate::response::{Answer, ResponseReader};
use crate::target::Target;

/// A place for one connection at a time.
pub(super) struct Connection {
    socket: Option<TcpStream>,
    is_connected: bool,
    /// Answers read on this socket.
    n_answers: u64,
    out: Vec<u8>,
    written: usize,
    reader: ResponseReader,
    job: Option<Job>,
    bytes_read: u64,
}

/// The request on a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) pending: Pending,
    pub(super) kind: usize,
    /// When its first byte was written.
    pub(super) sent: Option<u64>,
}

/// What a read has come to.
pub(super) enum Progress {
    /// More is to come.
    Unfinished,
    /// The answer.
    Complete(Answer),
    /// The connection has ended.
    Broken,
    /// What came is no answer.
    Malformed,
}

impl Connection {
    pub(super) fn new() -> Self {
        Self {
            socket: None,
            is_connected: false,
            n_answers: 0,
            out: Vec::new(),
            written: 0,
            reader: ResponseReader::new(),
            job: None,
            bytes_read: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.is_connected
    }

    pub(super) fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.written < self.out.len()
    }

    /// The intended time of the request that is on it.
    pub(super) fn intended(&self) -> Option<u64> {
        self.job.map(|job| job.pending.due.intended)
    }

    /// The request that is on it, which then no longer is.
    pub(super) fn take_job(&mut self) -> Option<Job> {
        self.job.take()
    }

    /// Bytes read since the last time of asking.
    pub(super) fn take_bytes_read(&mut self) -> u64 {
        std::mem::take(&mut self.bytes_read)
    }

    /// True where an idle connection may have been closed just as it was used.
    pub(super) fn may_send_again(&self) -> bool {
        let is_first = self.job.is_some_and(|job| !job.pending.is_again);
        is_first && self.n_answers > 0 && !self.reader.has_begun()
    }

    /// Prepares the bytes of a request.
    pub(super) fn write_request(
        &mut self,
        requests: &Requests,
        pending: Pending,
        scratch: &mut Scratch,
    ) {
        self.out.clear();
        self.written = 0;
        let kind = requests.write(pending.due.index, &mut self.out, scratch);
        self.reader.start(requests.is_slate(kind));
        self.job = Some(Job { pending, kind, sent: None });
    }

    /// Begins to connect.
    pub(super) fn open(&mut self, target: &Target, poller: &Poller, slot: usize) -> io::Result<()> {
        let mut socket = TcpStream::connect(target.address)?;
        // Where the system refuses, small requests wait for a moment; nothing else changes.
        let _ = socket.set_nodelay(true);
        poller.watch(&mut socket, slot)?;
        self.socket = Some(socket);
        self.is_connected = false;
        self.n_answers = 0;
        Ok(())
    }

    /// Whether connecting has come to its end.
    pub(super) fn connected(&mut self) -> io::Result<bool> {
        let Some(socket) = &self.socket else { return Ok(false) };
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            Ok(_) => {
                self.is_connected = true;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes what can be written; the bytes written.
    pub(super) fn flush(&mut self, now: u64) -> io::Result<usize> {
        let (Some(socket), true) = (&mut self.socket, self.is_connected) else { return Ok(0) };
        let before = self.written;
        if let Some(job) = &mut self.job {
            job.sent.get_or_insert(now);
        }
        while self.written < self.out.len() {
            match socket.write(&self.out[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.written - before)
    }

    /// Reads what has come. A read that does not fill the buffer has emptied the socket, unless
    /// the other end has closed it, too: then only another read says so.
    pub(super) fn read(&mut self, buffer: &mut [u8], is_closed: bool) -> Progress {
        loop {
            let Some(socket) = &mut self.socket else { return Progress::Unfinished };
            let n = match socket.read(buffer) {
                Ok(0) => return self.ended(),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Unfinished,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Progress::Broken,
            };
            self.bytes_read += n as u64;
            if self.job.is_none() {
                return Progress::Broken;
            }
            match self.reader.read(&buffer[..n]) {
                Ok(Some(answer)) => {
                    self.n_answers += 1;
                    let keeps_alive = answer.keeps_alive && !is_closed;
                    return Progress::Complete(Answer { keeps_alive, ..answer });
                }
                Ok(None) if n < buffer.len() && !is_closed => return Progress::Unfinished,
                Ok(None) => {}
                Err(_) => return Progress::Malformed,
            }
        }
    }

    fn ended(&mut self) -> Progress {
        match self.reader.close().filter(|_| self.job.is_some()) {
            Some(answer) => Progress::Complete(Answer { keeps_alive: false, ..answer }),
            None => Progress::Broken,
        }
    }

    /// Closes the socket; the place stays.
    pub(super) fn close(&mut self) {
        self.socket = None;
        self.is_connected = false;
    }
}
