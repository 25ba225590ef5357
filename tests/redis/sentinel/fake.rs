//! [`FakeSentinel`]: says what a test wants, in RESP2.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

/// It lives as long as the test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct FakeSentinel {
    port: u16,
    said: Arc<Mutex<Said>>,
    announcements: broadcast::Sender<String>,
}

#[derive(Debug, Default)]
struct Said {
    /// `None`: it does not know the service.
    primary: Option<(String, u16)>,
    epoch: u64,
    asked: usize,
}

impl FakeSentinel {
    /// It names this primary, with this configuration epoch.
    pub(crate) async fn naming(host: &str, port: u16, epoch: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let said = Said { primary: Some((host.to_owned(), port)), epoch, asked: 0 };
        let sentinel = Self {
            port: listener.local_addr().unwrap().port(),
            said: Arc::new(Mutex::new(said)),
            announcements: broadcast::channel(16).0,
        };
        let served = sentinel.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = served.clone();
                tokio::spawn(async move { served.serve(stream).await });
            }
        });
        sentinel
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on it names another one.
    pub(crate) fn name(&self, port: u16, epoch: u64) {
        let mut said = self.said.lock().unwrap();
        said.primary = Some(("127.0.0.1".to_owned(), port));
        said.epoch = epoch;
    }

    pub(crate) fn forget(&self) {
        self.said.lock().unwrap().primary = None;
    }

    /// How often it was asked for the primary.
    pub(crate) fn asked(&self) -> usize {
        self.said.lock().unwrap().asked
    }

    /// Publishes a text on `+switch-master`. Returns how many listen.
    pub(crate) fn announce(&self, text: &str) -> usize {
        self.announcements.send(text.to_owned()).unwrap_or(0)
    }

    /// How many listen to `+switch-master`.
    pub(crate) fn listeners(&self) -> usize {
        self.announcements.receiver_count()
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let command = read_command(&mut stream).await?;
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            let reply = match words.as_slice() {
                ["SUBSCRIBE", channel] => {
                    let mut announced = self.announcements.subscribe();
                    let confirmed = format!("*3\r\n{}{}:1\r\n", bulk("subscribe"), bulk(channel));
                    stream.write_all(confirmed.as_bytes()).await.ok()?;
                    loop {
                        tokio::select! {
                            text = announced.recv() => {
                                let text = format!("*3\r\n{}{}{}", bulk("message"), bulk(channel), bulk(&text.ok()?));
                                stream.write_all(text.as_bytes()).await.ok()?;
                            }
                            // The client has gone.
                            _ = stream.read_u8() => return None,
                        }
                    }
                }
                ["SENTINEL", about, "locks"] => self.answer(about),
                _ => "-ERR unknown command\r\n".to_owned(),
            };
            stream.write_all(reply.as_bytes()).await.ok()?;
        }
    }

    fn answer(&self, about: &str) -> String {
        let mut said = self.said.lock().unwrap();
        let epoch = said.epoch.to_string();
        said.asked += usize::from(about == "GET-MASTER-ADDR-BY-NAME");
        match (about, &said.primary) {
            ("GET-MASTER-ADDR-BY-NAME", None) => "*-1\r\n".to_owned(),
            ("GET-MASTER-ADDR-BY-NAME", Some((host, port))) => array(&[host, &port.to_string()]),
            ("MASTER", Some(_)) => array(&["name", "locks", "config-epoch", &epoch]),
            ("SENTINELS", Some(_)) => array(&[]),
            _ => "-ERR No such master with that name\r\n".to_owned(),
        }
    }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn array(texts: &[&str]) -> String {
    texts.iter().fold(format!("*{}\r\n", texts.len()), |mut written, text| {
        write!(written, "{}", bulk(text)).unwrap();
        written
    })
}

pub(crate) async fn read_command(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<String>> {
    let count = read_number(stream).await?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; read_number(stream).await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8(word).ok()?);
    }
    Some(words)
}

/// The number of a header, `*3` or `$5`.
async fn read_number(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.trim_end().get(1..)?.parse().ok()
}
