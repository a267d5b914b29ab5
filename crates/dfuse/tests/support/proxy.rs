//! A place between two servers where connections can be cut, and whose address stays when the server behind it gets another one.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

#[derive(Default)]
struct State {
    /// Where connections go; nowhere without it.
    target: Option<String>,
    open: Vec<TcpStream>,
    /// Bytes that came from the server.
    passed: u64,
    /// Connections are cut when so many bytes have passed.
    cut_at: Option<u64>,
    /// How long each piece waits that comes from the server.
    delay: Duration,
}

/// It takes connections until the test ends.
#[derive(Clone)]
pub(crate) struct Proxy {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Proxy {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { address: listener.local_addr().unwrap().to_string(), state: Arc::default() };
        let own = proxy.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let target = own.state.lock().unwrap().target.clone();
                // Whoever is turned away comes again.
                if let (Ok(client), Some(target)) = (client, target)
                    && let Ok(server) = TcpStream::connect(target)
                {
                    own.pass(&client, &server);
                }
            }
        });
        proxy
    }

    /// Address and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// From now on connections go there.
    pub(crate) fn lead_to(&self, target: &str) {
        self.state.lock().unwrap().target = Some(target.to_owned());
    }

    /// Cuts all connections, and those that come until it leads somewhere again.
    pub(crate) fn close(&self) {
        self.state.lock().unwrap().target = None;
        self.cut();
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        for stream in self.state.lock().unwrap().open.drain(..) {
            // It may be closed.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts all connections once so many more bytes have come from the server, within whatever is on its way then.
    pub(crate) fn cut_after(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap();
        state.cut_at = Some(state.passed + bytes);
    }

    /// From now on each piece that comes from the server waits so long.
    pub(crate) fn slow_down(&self, delay: Duration) {
        self.state.lock().unwrap().delay = delay;
    }

    fn pass(&self, client: &TcpStream, server: &TcpStream) {
        self.state.lock().unwrap().open.extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Both);
        });
        let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let own = self.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from_server.read(&mut buffer) {
                let delay = own.state.lock().unwrap().delay;
                thread::sleep(delay);
                if to_client.write_all(&buffer[..read]).is_err() {
                    break;
                }
                let is_cut = {
                    let mut state = own.state.lock().unwrap();
                    state.passed += read as u64;
                    let is_cut = state.cut_at.is_some_and(|at| at <= state.passed);
                    if is_cut {
                        state.cut_at = None;
                    }
                    is_cut
                };
                if is_cut {
                    own.cut();
                }
            }
            let _ = to_client.shutdown(Shutdown::Both);
        });
    }
}
