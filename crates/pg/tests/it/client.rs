//! A client of a few lines: it knows the messages and nothing of what they mean.

use std::{collections::HashMap, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub struct Client {
    stream: TcpStream,
    pub pid: i32,
    secret: Vec<u8>,
    addr: SocketAddr,
}

/// What came before ReadyForQuery.
#[derive(Debug, Default)]
pub struct Answer {
    /// Name and type of each column.
    pub columns: Vec<(String, u32)>,
    pub rows: Vec<Vec<Option<String>>>,
    pub tag: String,
    /// Types of the parameters.
    pub parameters: Vec<u32>,
    /// Fields of the error by their letter.
    pub error: Option<HashMap<char, String>>,
}

impl Answer {
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub fn types(&self) -> Vec<u32> {
        self.columns.iter().map(|(_, oid)| *oid).collect()
    }

    /// The first row; NULL is shown as `∅`.
    pub fn row(&self) -> Vec<&str> {
        self.rows.first().expect("a row").iter().map(|v| v.as_deref().unwrap_or("∅")).collect()
    }

    pub fn field(&self, letter: char) -> &str {
        self.error.as_ref().expect("an error").get(&letter).map_or("", String::as_str)
    }

    fn ok(self, sql: &str) -> Self {
        assert!(self.error.is_none(), "{sql}\n{:?}", self.error);
        self
    }
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the door is open");
        let mut client = Self { stream, pid: 0, secret: Vec::new(), addr };
        let body = b"\0\x03\0\0user\0ann\0application_name\0tests\0\0";
        client.send_raw(&[&(body.len() as i32 + 4).to_be_bytes()[..], body].concat()).await;
        client.answer().await.ok("startup");
        client
    }

    /// The simple protocol.
    pub async fn try_query(&mut self, sql: &str) -> Answer {
        self.send(b'Q', &string(sql)).await;
        self.answer().await
    }

    pub async fn query(&mut self, sql: &str) -> Answer {
        self.try_query(sql).await.ok(sql)
    }

    /// What Describe says of a statement: parameters and columns.
    pub async fn describe(&mut self, sql: &str) -> Answer {
        self.send(b'P', &[&string("")[..], &string(sql), &0i16.to_be_bytes()].concat()).await;
        self.send(b'D', b"S\0").await;
        self.send(b'S', b"").await;
        self.answer().await.ok(sql)
    }

    /// The extended protocol with text parameters of the types given, described as a portal, as psycopg does.
    pub async fn execute(&mut self, sql: &str, parameters: &[(u32, &str)]) -> Answer {
        let count = (parameters.len() as i16).to_be_bytes();
        let types: Vec<u8> = parameters.iter().flat_map(|(oid, _)| oid.to_be_bytes()).collect();
        self.send(b'P', &[&string("")[..], &string(sql), &count, &types].concat()).await;
        let mut bind = [&string("")[..], &string(""), &0i16.to_be_bytes(), &count].concat();
        for (_, value) in parameters {
            bind.extend((value.len() as i32).to_be_bytes());
            bind.extend(value.as_bytes());
        }
        bind.extend(0i16.to_be_bytes());
        self.send(b'B', &bind).await;
        self.send(b'D', b"P\0").await;
        self.send(b'E', b"\0\0\0\0\0").await;
        self.send(b'S', b"").await;
        self.answer().await.ok(sql)
    }

    /// What cancels the statement this client runs.
    pub fn canceller(&self) -> impl Future<Output = ()> + Send + 'static {
        let packet = [&16i32.to_be_bytes()[..], &80_877_102i32.to_be_bytes(), &self.pid.to_be_bytes(), &self.secret];
        let (packet, addr) = (packet.concat(), self.addr);
        async move {
            let mut stream = TcpStream::connect(addr).await.expect("the door is open");
            stream.write_all(&packet).await.expect("sent");
        }
    }

    async fn send(&mut self, kind: u8, body: &[u8]) {
        self.send_raw(&[&[kind][..], &(body.len() as i32 + 4).to_be_bytes(), body].concat()).await;
    }

    async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("sent");
    }

    async fn answer(&mut self) -> Answer {
        let mut answer = Answer::default();
        loop {
            let kind = self.stream.read_u8().await.expect("a message");
            let length = self.stream.read_i32().await.expect("a length") as usize - 4;
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await.expect("a body");
            let mut b = Body(&body);
            match kind {
                b'Z' => return answer,
                b'K' => (self.pid, self.secret) = (b.i32(), b.0.to_vec()),
                b'T' => {
                    answer.columns = (0..b.i16())
                        .map(|_| {
                            let name = b.string();
                            b.take(6);
                            let oid = b.i32() as u32;
                            b.take(8);
                            (name, oid)
                        })
                        .collect();
                }
                b'D' => {
                    let value = |b: &mut Body<'_>| {
                        let length = b.i32();
                        (length >= 0).then(|| String::from_utf8_lossy(b.take(length as usize)).into_owned())
                    };
                    answer.rows.push((0..b.i16()).map(|_| value(&mut b)).collect());
                }
                b't' => answer.parameters = (0..b.i16()).map(|_| b.i32() as u32).collect(),
                b'C' => answer.tag = b.string(),
                b'E' => {
                    let mut fields = HashMap::new();
                    while b.0.len() > 1 {
                        let letter = char::from(b.take(1)[0]);
                        fields.insert(letter, b.string());
                    }
                    answer.error = Some(fields);
                }
                _ => {}
            }
        }
    }
}

struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n);
        self.0 = rest;
        taken
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().expect("two bytes"))
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    fn string(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).expect("strings end in a zero");
        let text = String::from_utf8_lossy(self.take(end)).into_owned();
        self.take(1);
        text
    }
}

fn string(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}
