//! What clients send.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

/// Longest startup packet (PostgreSQL's `MAX_STARTUP_PACKET_LENGTH`).
const STARTUP_BYTES_MAX: usize = 10_000;
/// Most parameters of a statement; the protocol counts them in 16 bits.
const PARAMETERS_MAX: usize = u16::MAX as usize;

/// Bytes that are not the protocol. The connection ends after it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The first packets of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Startup {
    Tls,
    GssEncryption,
    Cancel {
        pid: i32,
        secret: Bytes,
    },
    /// Minor version of protocol 3 and the parameters in order (`user`, `database`, settings).
    Begin {
        minor: u16,
        parameters: Vec<(String, String)>,
    },
    /// A major version we do not speak.
    OtherVersion(u16),
}

/// A whole message, not yet taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) body: Bytes,
}

/// A message of the main phase.
#[derive(Debug, PartialEq)]
pub(crate) enum Frontend {
    Query(String),
    Parse(Parse),
    Bind(Bind),
    Describe(Target),
    Execute { portal: String, rows_max: usize },
    Close(Target),
    Flush,
    Sync,
    Terminate,
    CopyData(Bytes),
    CopyDone,
    CopyFail(String),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Parse {
    pub(crate) name: String,
    pub(crate) sql: String,
    /// OIDs; 0 leaves the type open.
    pub(crate) types: Vec<u32>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Bind {
    pub(crate) portal: String,
    pub(crate) statement: String,
    pub(crate) formats: Vec<i16>,
    pub(crate) values: Vec<Option<Bytes>>,
    pub(crate) result_formats: Vec<i16>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Statement(String),
    Portal(String),
}

/// Takes a startup packet off `inbox` once it is whole.
pub(crate) fn next_startup(inbox: &mut BytesMut) -> Result<Option<Startup>, Malformed> {
    let Some(length) = peek_length(inbox, 0) else { return Ok(None) };
    if !(8..=STARTUP_BYTES_MAX).contains(&length) {
        return Err(Malformed("this is not a PostgreSQL startup packet"));
    }
    if inbox.len() < length {
        return Ok(None);
    }
    let mut body = Body(inbox.split_to(length).freeze());
    body.0.advance(4);
    let version = body.u32()?;
    Ok(Some(match version {
        80_877_103 => Startup::Tls,
        80_877_104 => Startup::GssEncryption,
        80_877_102 => Startup::Cancel { pid: body.i32()?, secret: body.0 },
        _ if version >> 16 == 3 => {
            let mut parameters = Vec::new();
            loop {
                let name = body.string()?;
                if name.is_empty() {
                    break Startup::Begin { minor: (version & 0xffff) as u16, parameters };
                }
                parameters.push((name, body.string()?));
            }
        }
        _ => Startup::OtherVersion((version >> 16) as u16),
    }))
}

/// Takes one message off `inbox` once it is whole. `bytes_max` bounds its length.
pub(crate) fn next_frame(inbox: &mut BytesMut, bytes_max: usize) -> Result<Option<Frame>, Malformed> {
    let Some(length) = peek_length(inbox, 1) else { return Ok(None) };
    if length < 4 {
        return Err(Malformed("a message is shorter than its own length field"));
    }
    if length > bytes_max {
        return Err(Malformed("a message is longer than this server takes"));
    }
    if !matches!(
        inbox[0],
        b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'H' | b'S' | b'X' | b'd' | b'c' | b'f' | b'p' | b'F'
    ) {
        return Err(Malformed("a message has a type the protocol does not know"));
    }
    if inbox.len() < length + 1 {
        return Ok(None);
    }
    let mut bytes = inbox.split_to(length + 1).freeze();
    let kind = bytes[0];
    bytes.advance(5);
    Ok(Some(Frame { kind, body: bytes }))
}

fn peek_length(inbox: &BytesMut, at: usize) -> Option<usize> {
    let bytes = inbox.get(at..at + 4)?;
    let length = i32::from_be_bytes(bytes.try_into().expect("four bytes: sliced above"));
    // A negative length is no length; 0 is refused by everyone.
    Some(usize::try_from(length).unwrap_or(0))
}

impl Frame {
    pub(crate) fn parse(self) -> Result<Frontend, Malformed> {
        let mut body = Body(self.body);
        let message = match self.kind {
            b'Q' => Frontend::Query(body.string()?),
            b'P' => {
                let (name, sql) = (body.string()?, body.string()?);
                let count = body.count()?;
                Frontend::Parse(Parse { name, sql, types: body.many(count, Body::u32)? })
            }
            b'B' => {
                let (portal, statement) = (body.string()?, body.string()?);
                let count = body.count()?;
                let formats = body.many(count, Body::i16)?;
                let count = body.count()?;
                let values = body.many(count, Body::value)?;
                let count = body.count()?;
                Frontend::Bind(Bind {
                    portal,
                    statement,
                    formats,
                    values,
                    result_formats: body.many(count, Body::i16)?,
                })
            }
            b'D' => Frontend::Describe(body.target()?),
            b'C' => Frontend::Close(body.target()?),
            b'E' => {
                let portal = body.string()?;
                Frontend::Execute { portal, rows_max: usize::try_from(body.i32()?).unwrap_or(0) }
            }
            b'H' => Frontend::Flush,
            b'S' => Frontend::Sync,
            b'X' => Frontend::Terminate,
            b'd' => return Ok(Frontend::CopyData(body.0)),
            b'c' => Frontend::CopyDone,
            b'f' => Frontend::CopyFail(body.string()?),
            _ => return Err(Malformed("this message has no place here")),
        };
        if body.0.has_remaining() {
            return Err(Malformed("a message is longer than its contents"));
        }
        Ok(message)
    }
}

/// A message body, read from the front; every read is checked.
struct Body(Bytes);

impl Body {
    fn take(&mut self, length: usize) -> Result<Bytes, Malformed> {
        if self.0.len() < length {
            return Err(Malformed("a message ends too early"));
        }
        Ok(self.0.split_to(length))
    }

    fn i16(&mut self) -> Result<i16, Malformed> {
        self.take(2).map(|mut b| b.get_i16())
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        self.take(4).map(|mut b| b.get_i32())
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.take(4).map(|mut b| b.get_u32())
    }

    fn count(&mut self) -> Result<usize, Malformed> {
        let count = usize::from(self.i16()? as u16);
        debug_assert!(count <= PARAMETERS_MAX);
        Ok(count)
    }

    /// `count` items; the vector grows with the bytes that are there, not with what the count claims.
    fn many<T>(&mut self, count: usize, read: fn(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        let mut items = Vec::with_capacity(count.min(self.0.len() / 2));
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    fn string(&mut self) -> Result<String, Malformed> {
        let end = self.0.iter().position(|b| *b == 0).ok_or(Malformed("a string in a message does not end"))?;
        let bytes = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(bytes.into()).map_err(|_| Malformed("a string in a message is not UTF-8"))
    }

    fn value(&mut self) -> Result<Option<Bytes>, Malformed> {
        match self.i32()? {
            -1 => Ok(None),
            length => self
                .take(usize::try_from(length).map_err(|_| Malformed("a parameter has a negative length"))?)
                .map(Some),
        }
    }

    fn target(&mut self) -> Result<Target, Malformed> {
        match self.take(1)?[0] {
            b'S' => Ok(Target::Statement(self.string()?)),
            b'P' => Ok(Target::Portal(self.string()?)),
            _ => Err(Malformed("neither a statement nor a portal")),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn message(kind: u8, body: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::new();
        bytes.put_u8(kind);
        bytes.put_i32(body.len() as i32 + 4);
        bytes.put_slice(body);
        bytes
    }

    fn parse(mut bytes: BytesMut) -> Result<Frontend, Malformed> {
        next_frame(&mut bytes, LIMIT)?.expect("whole").parse()
    }

    #[test]
    fn startup_packets_are_told_apart() {
        let mut tls = BytesMut::from(&[0, 0, 0, 8, 4, 210, 22, 47][..]);
        assert_eq!(next_startup(&mut tls), Ok(Some(Startup::Tls)));
        let mut begin = BytesMut::new();
        begin.put_slice(&[0, 0, 0, 0, 0, 3, 0, 0]);
        begin.put_slice(b"user\0ada\0database\0x\0\0");
        let length = begin.len() as u32;
        begin[..4].copy_from_slice(&length.to_be_bytes());
        let parameters = [("user", "ada"), ("database", "x")].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec();
        assert_eq!(next_startup(&mut begin), Ok(Some(Startup::Begin { minor: 0, parameters })));
        assert!(begin.is_empty());
    }

    #[test]
    fn http_and_tls_are_refused_at_once() {
        assert!(next_startup(&mut BytesMut::from(&b"GET / HTTP/1.1\r\n"[..])).is_err());
        assert!(next_startup(&mut BytesMut::from(&[0x16, 3, 1, 2, 0, 1, 0][..])).is_err());
    }

    #[test]
    fn a_bind_is_taken_apart() {
        let body = [b"p\0s\0".as_slice(), &[0, 1, 0, 1, 0, 2, 0, 0, 0, 2, 7, 8, 255, 255, 255, 255, 0, 0]].concat();
        assert_eq!(
            parse(message(b'B', &body)),
            Ok(Frontend::Bind(Bind {
                portal: "p".into(),
                statement: "s".into(),
                formats: vec![1],
                values: vec![Some(Bytes::from_static(&[7, 8])), None],
                result_formats: vec![],
            }))
        );
    }

    #[test]
    fn a_long_message_is_refused_by_its_header() {
        let mut header = BytesMut::from(&[b'Q', 0x7f, 0xff, 0xff, 0xff][..]);
        assert!(next_frame(&mut header, LIMIT).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = next_startup(&mut BytesMut::from(&bytes[..]));
            let mut inbox = BytesMut::from(&bytes[..]);
            while let Ok(Some(frame)) = next_frame(&mut inbox, LIMIT) {
                let _ = frame.parse();
            }
        }

        #[test]
        fn no_body_panics(kind in prop::sample::select(b"QPBDECHSXdcf".to_vec()), body: Vec<u8>) {
            let _ = parse(message(kind, &body));
        }

        #[test]
        fn a_query_survives_any_cut(sql in "[^\0]{0,40}", cut in 0usize..60) {
            let body = [sql.as_bytes(), b"\0"].concat();
            let whole = message(b'Q', &body);
            let cut = cut.min(whole.len());
            let mut inbox = BytesMut::from(&whole[..cut]);
            let first = next_frame(&mut inbox, LIMIT).expect("a prefix is not malformed");
            prop_assert_eq!(first.is_some(), cut == whole.len());
            if first.is_none() {
                inbox.extend_from_slice(&whole[cut..]);
                let frame = next_frame(&mut inbox, LIMIT).expect("well formed").expect("whole");
                prop_assert_eq!(frame.parse(), Ok(Frontend::Query(sql)));
            }
        }
    }
}
