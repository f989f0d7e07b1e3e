//! What we send: messages appended to a buffer that the connection flushes.

use bytes::{BufMut, BytesMut};
use model::Error;

/// Where a session is with its transaction block, as told with every ReadyForQuery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransactionStatus {
    Idle,
    InBlock,
    /// A statement of the block failed: everything until its end is refused.
    Failed,
}

/// One column of a RowDescription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) oid: u32,
    /// `pg_type.typlen`: bytes of a fixed-width type, −1 for others.
    pub(crate) length: i16,
    /// `pg_attribute.atttypmod`, −1 for none.
    pub(crate) modifier: i32,
    /// 0 text, 1 binary.
    pub(crate) format: i16,
}

/// Bytes to be sent.
#[derive(Default)]
pub(crate) struct Backend(pub(crate) BytesMut);

impl Backend {
    /// Writes `[kind][length]`, lets `body` write the rest and puts the length in.
    fn message(&mut self, kind: u8, body: impl FnOnce(&mut BytesMut)) {
        self.0.put_u8(kind);
        let start = self.0.len();
        self.0.put_i32(0);
        body(&mut self.0);
        let length = i32::try_from(self.0.len() - start).expect("messages are cut far below 2 GiB");
        self.0[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// The single byte that answers SSLRequest and GSSENCRequest: no.
    pub(crate) fn refuse_encryption(&mut self) {
        self.0.put_u8(b'N');
    }

    pub(crate) fn negotiate_version(&mut self, unknown_options: &[&str]) {
        self.message(b'v', |b| {
            b.put_i32(3 << 16);
            b.put_i32(unknown_options.len() as i32);
            for option in unknown_options {
                put_string(b, option);
            }
        });
    }

    pub(crate) fn authentication_ok(&mut self) {
        self.message(b'R', |b| b.put_i32(0));
    }

    pub(crate) fn parameter_status(&mut self, name: &str, value: &str) {
        self.message(b'S', |b| {
            put_string(b, name);
            put_string(b, value);
        });
    }

    pub(crate) fn backend_key(&mut self, pid: i32, secret: &[u8]) {
        self.message(b'K', |b| {
            b.put_i32(pid);
            b.put_slice(secret);
        });
    }

    pub(crate) fn ready_for_query(&mut self, status: TransactionStatus) {
        self.message(b'Z', |b| {
            b.put_u8(match status {
                TransactionStatus::Idle => b'I',
                TransactionStatus::InBlock => b'T',
                TransactionStatus::Failed => b'E',
            })
        });
    }

    pub(crate) fn row_description(&mut self, columns: &[Column]) {
        self.message(b'T', |b| {
            b.put_i16(columns.len() as i16);
            for column in columns {
                put_string(b, &column.name);
                b.put_i32(0);
                b.put_i16(0);
                b.put_u32(column.oid);
                b.put_i16(column.length);
                b.put_i32(column.modifier);
                b.put_i16(column.format);
            }
        });
    }

    /// A row whose `columns` values `write` appends, each with its own length in front.
    pub(crate) fn data_row<E>(
        &mut self,
        columns: usize,
        write: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = self.0.len();
        let mut result = Ok(());
        self.message(b'D', |b| {
            b.put_i16(columns as i16);
            result = write(b);
        });
        if result.is_err() {
            self.0.truncate(start);
        }
        result
    }

    pub(crate) fn parameter_description(&mut self, oids: &[u32]) {
        self.message(b't', |b| {
            b.put_i16(oids.len() as i16);
            oids.iter().for_each(|oid| b.put_u32(*oid));
        });
    }

    pub(crate) fn no_data(&mut self) {
        self.message(b'n', |_| ());
    }

    pub(crate) fn parse_complete(&mut self) {
        self.message(b'1', |_| ());
    }

    pub(crate) fn bind_complete(&mut self) {
        self.message(b'2', |_| ());
    }

    pub(crate) fn close_complete(&mut self) {
        self.message(b'3', |_| ());
    }

    pub(crate) fn portal_suspended(&mut self) {
        self.message(b's', |_| ());
    }

    pub(crate) fn empty_query(&mut self) {
        self.message(b'I', |_| ());
    }

    pub(crate) fn command_complete(&mut self, tag: &str) {
        self.message(b'C', |b| put_string(b, tag));
    }

    pub(crate) fn copy_out(&mut self, columns: usize) {
        self.message(b'H', |b| put_copy_header(b, columns));
    }

    pub(crate) fn copy_data(&mut self, bytes: &[u8]) {
        self.message(b'd', |b| b.put_slice(bytes));
    }

    pub(crate) fn copy_done(&mut self) {
        self.message(b'c', |_| ());
    }

    /// `severity` is `ERROR` or `FATAL`. The code (`LHnnnn`) leads the message, where people see it, and is the routine
    /// (`R`) as well, where programs find it (`diag.source_function`).
    ///
    /// `place` is where the statement is wrong, in characters from 1, and the detail that goes with it.
    pub(crate) fn error(&mut self, severity: &str, sqlstate: &str, error: &Error, place: Option<(usize, &str)>) {
        let code = error.code().name;
        self.message(b'E', |b| {
            let message = format!("{code}: {}", error.message());
            let detail = match place {
                Some((_, detail)) => Some(detail).filter(|detail| !detail.is_empty()),
                None => error.detail_text(),
            };
            put_fields(b, severity, sqlstate, &message, detail, error.hint_text());
            if let Some((position, _)) = place {
                put_field(b, b'P', &position.to_string());
            }
            put_field(b, b'R', code);
            b.put_u8(0);
        });
    }

    /// `severity` is `NOTICE` or `WARNING`.
    pub(crate) fn notice(&mut self, severity: &str, sqlstate: &str, message: &str, hint: Option<&str>) {
        self.message(b'N', |b| {
            put_fields(b, severity, sqlstate, message, None, hint);
            b.put_u8(0);
        });
    }
}

fn put_copy_header(b: &mut BytesMut, columns: usize) {
    b.put_u8(0);
    b.put_i16(columns as i16);
    (0..columns).for_each(|_| b.put_i16(0));
}

fn put_fields(b: &mut BytesMut, severity: &str, state: &str, message: &str, detail: Option<&str>, hint: Option<&str>) {
    put_field(b, b'S', severity);
    put_field(b, b'V', severity);
    put_field(b, b'C', state);
    put_field(b, b'M', message);
    if let Some(detail) = detail {
        put_field(b, b'D', detail);
    }
    if let Some(hint) = hint {
        put_field(b, b'H', hint);
    }
}

fn put_field(b: &mut BytesMut, kind: u8, text: &str) {
    b.put_u8(kind);
    put_string(b, text);
}

/// A C string; a NUL inside would end it early, so it is left out.
fn put_string(b: &mut BytesMut, text: &str) {
    if text.as_bytes().contains(&0) {
        b.put_slice(text.replace('\0', "").as_bytes());
    } else {
        b.put_slice(text.as_bytes());
    }
    b.put_u8(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_themselves_but_not_the_type() {
        let mut out = Backend::default();
        out.ready_for_query(TransactionStatus::InBlock);
        assert_eq!(&out.0[..], [b'Z', 0, 0, 0, 5, b'T']);
    }

    #[test]
    fn a_row_that_fails_leaves_nothing_behind() {
        let mut out = Backend::default();
        out.no_data();
        let before = out.0.clone();
        assert_eq!(
            out.data_row(1, |b| {
                b.put_slice(b"half");
                Err(7)
            }),
            Err(7)
        );
        assert_eq!(out.0, before);
    }

    #[test]
    fn errors_carry_code_state_and_hint() {
        let mut out = Backend::default();
        let error = Error::new(model::error::codes::SHUTTING_DOWN, "going\0 down").hint("later");
        out.error("FATAL", "57P01", &error, None);
        let text = String::from_utf8_lossy(&out.0[5..]).into_owned();
        assert_eq!(text, "SFATAL\0VFATAL\0C57P01\0MLH0005: going down\0Hlater\0RLH0005\0\0");
    }
}
