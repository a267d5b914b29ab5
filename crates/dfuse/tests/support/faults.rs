//! A place between clients and a server of HTTP where requests fail as the test says.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What becomes of a request.
#[derive(Clone)]
pub(crate) enum Fate {
    /// It is answered.
    Pass,
    /// It is answered so much later.
    Late(Duration),
    /// The server says that it cannot, with that status.
    Refused(u16),
    /// No answer comes.
    Silence,
    /// The connection is cut before anything is asked.
    Closed,
    /// The server does what it is asked for, and the connection is cut within the answer, in the middle or before all of it.
    CutAnswer { whole: bool },
    /// The connection is cut within the request, then the function is called, then the client learns of it.
    CutRequest(Arc<dyn Fn() + Send + Sync>),
    /// It is answered, but the server takes no notice of a condition that a write comes with.
    Unconditional,
}

type Plan = Box<dyn FnMut(&str) -> Fate + Send>;

/// It takes connections until the test ends, each for one request.
#[derive(Clone)]
pub(crate) struct Faults {
    address: String,
    plan: Arc<Mutex<Plan>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Faults {
    /// Before a server. Everything passes until there is another plan.
    pub(crate) fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let faults = Self { address, plan: Arc::new(Mutex::new(Box::new(|_| Fate::Pass))), requests: Arc::default() };
        let (own, server) = (faults.clone(), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (own, server) = (own.clone(), server.clone());
                thread::spawn(move || {
                    // Whatever fails, one of the two has gone.
                    let _ = own.serve(&client, &server);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        faults
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// From now on, what becomes of a request is what `plan` says of its first line.
    pub(crate) fn plan(&self, plan: impl FnMut(&str) -> Fate + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    /// From now on everything passes.
    pub(crate) fn mend(&self) {
        self.plan(|_| Fate::Pass);
    }

    /// The first lines of the requests since this was called last.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    fn serve(&self, mut client: &TcpStream, server: &str) -> io::Result<()> {
        let request = Request::read(client)?;
        let line = request.head.lines().next().unwrap_or_default().to_owned();
        self.requests.lock().unwrap().push(line.clone());
        let fate = self.plan.lock().unwrap()(&line);
        match fate {
            Fate::Pass => client.write_all(&request.answer(server)?),
            Fate::Late(pause) => {
                let answer = request.answer(server)?;
                thread::sleep(pause);
                client.write_all(&answer)
            }
            Fate::Refused(status) => {
                let text = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>later</Message></Error>";
                let length = text.len();
                write!(client, "HTTP/1.1 {status} Later\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}")
            }
            Fate::Silence => client.read_to_end(&mut Vec::new()).map(drop),
            Fate::Closed => Ok(()),
            Fate::CutAnswer { whole } => {
                let answer = request.answer(server)?;
                client.write_all(&answer[..if whole { 0 } else { answer.len() - answer.len() / 3 }])
            }
            Fate::CutRequest(then) => {
                request.ask_in_part(server)?;
                then();
                Ok(())
            }
            Fate::Unconditional => {
                let answer = request.answer(server)?;
                let is_refused = answer.starts_with(b"HTTP/1.1 412");
                let taken = b"HTTP/1.1 200 OK\r\nETag: \"taken\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                client.write_all(if is_refused { taken } else { &answer })
            }
        }
    }
}

struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn read(client: &TcpStream) -> io::Result<Self> {
        let mut client = BufReader::new(client);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let start = head.len();
            if client.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = head[start..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        client.read_exact(&mut body)?;
        Ok(Self { head, body })
    }

    /// The head of a request after whose answer the connection ends.
    fn closing(&self) -> String {
        let (line, fields) = self.head.split_once("\r\n").unwrap();
        format!("{line}\r\nConnection: close\r\n{fields}")
    }

    /// Has the server answer it.
    fn answer(&self, server: &str) -> io::Result<Vec<u8>> {
        let mut upstream = TcpStream::connect(server)?;
        upstream.write_all(self.closing().as_bytes())?;
        upstream.write_all(&self.body)?;
        let mut answer = Vec::new();
        upstream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// Sends half of it, and waits until the server has given up.
    fn ask_in_part(&self, server: &str) -> io::Result<()> {
        let mut upstream = TcpStream::connect(server)?;
        upstream.write_all(self.closing().as_bytes())?;
        upstream.write_all(&self.body[..self.body.len() / 2])?;
        upstream.shutdown(Shutdown::Write)?;
        upstream.read_to_end(&mut Vec::new()).map(drop)
    }
}
