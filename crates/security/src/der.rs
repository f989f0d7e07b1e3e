//! As much of X.509 as says whose a certificate is: its subject, written as Java's `X500Principal.getName()` writes it (RFC
//! 2253), because that is what rules made for Kafka name.
//!
//! The certificate was verified before; still, nothing here trusts a length.

/// The subject of a certificate in DER; `None` if it is not one, or has no subject.
pub fn subject(certificate: &[u8]) -> Option<String> {
    let mut certificate = Der(Der(certificate).take(SEQUENCE)?);
    let mut fields = Der(certificate.take(SEQUENCE)?);
    if fields.peek()? == VERSION {
        fields.take(VERSION)?;
    }
    fields.take(INTEGER)?; // serial number
    fields.take(SEQUENCE)?; // algorithm of the signature
    fields.take(SEQUENCE)?; // issuer
    fields.take(SEQUENCE)?; // validity
    let subject = name(fields.take(SEQUENCE)?)?;
    (!subject.is_empty()).then_some(subject)
}

const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const T61_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

/// Kinds of attributes that RFC 2253 writes by name, as the bytes of their identifiers.
const KEYWORDS: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
];

/// Values one after the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Tag, content, and all of it.
    fn next(&mut self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some((tag, content, whole))
    }

    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, ..)| *found == tag).map(|(_, content, _)| content)
    }
}

/// The last part comes first.
fn name(bytes: &[u8]) -> Option<String> {
    let mut parts = Der(bytes);
    let mut written = Vec::new();
    while parts.peek().is_some() {
        let mut attributes = Der(parts.take(SET)?);
        let mut part = Vec::new();
        while attributes.peek().is_some() {
            part.push(attribute(attributes.take(SEQUENCE)?)?);
        }
        written.push(part.join("+"));
    }
    written.reverse();
    Some(written.join(","))
}

fn attribute(bytes: &[u8]) -> Option<String> {
    let mut fields = Der(bytes);
    let kind = fields.take(OID)?;
    let (tag, content, whole) = fields.next()?;
    let keyword = KEYWORDS.iter().find(|(oid, _)| *oid == kind).map(|(_, keyword)| *keyword);
    Some(match (keyword, text(tag, content)) {
        (Some(keyword), Some(text)) => format!("{keyword}={}", escaped(&text)),
        (keyword, _) => {
            let hex: String = whole.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{}=#{hex}", keyword.map_or_else(|| dotted(kind), str::to_owned))
        }
    })
}

fn text(tag: u8, content: &[u8]) -> Option<String> {
    match tag {
        UTF8_STRING => String::from_utf8(content.to_vec()).ok(),
        PRINTABLE_STRING | IA5_STRING if content.is_ascii() => String::from_utf8(content.to_vec()).ok(),
        T61_STRING => Some(content.iter().map(|byte| char::from(*byte)).collect()),
        BMP_STRING if content.len().is_multiple_of(2) => {
            let units = content.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

/// Two names must never be written the same, so whatever separates parts is escaped.
fn escaped(text: &str) -> String {
    let trimmed = text.trim_matches(' ');
    let from = text.len() - text.trim_start_matches(' ').len();
    let mut out = "\\ ".repeat(from);
    for sign in trimmed.chars() {
        match sign {
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' => out.extend(['\\', sign]),
            '\0' => out.push_str("\\00"),
            sign => out.push(sign),
        }
    }
    out.push_str(&"\\ ".repeat(text.len() - from - trimmed.len()));
    out
}

fn dotted(oid: &[u8]) -> String {
    let mut numbers: Vec<u64> = Vec::new();
    let mut number: u64 = 0;
    for byte in oid {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.extend([first, number - first * 40]);
            } else {
                numbers.push(number);
            }
            number = 0;
        }
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match content.len() {
            length @ 0..=127 => out.push(length as u8),
            length => out.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        out.extend(content);
        out
    }

    fn certificate(parts: &[&[(&[u8], u8, &str)]]) -> Vec<u8> {
        let attribute =
            |(oid, tag, text): &(&[u8], u8, &str)| der(SEQUENCE, &[der(OID, oid), der(*tag, text.as_bytes())].concat());
        let set = |part: &&[(&[u8], u8, &str)]| der(SET, &part.iter().flat_map(attribute).collect::<Vec<_>>());
        let subject = der(SEQUENCE, &parts.iter().flat_map(set).collect::<Vec<_>>());
        let nothing = der(SEQUENCE, &[]);
        let fields = [
            der(VERSION, &der(INTEGER, &[2])),
            der(INTEGER, &[7]),
            nothing.clone(),
            nothing.clone(),
            nothing.clone(),
            subject,
            nothing,
        ];
        der(SEQUENCE, &der(SEQUENCE, &fields.concat()))
    }

    #[test]
    fn subjects_are_written_as_java_writes_them() {
        const CN: &[u8] = &[0x55, 4, 3];
        const O: &[u8] = &[0x55, 4, 10];
        const MAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
        let plain = certificate(&[&[(O, UTF8_STRING, "Ex, Inc")], &[(CN, PRINTABLE_STRING, "client")]]);
        assert_eq!(subject(&plain).as_deref(), Some("CN=client,O=Ex\\, Inc"));
        let mail = certificate(&[&[(CN, UTF8_STRING, " a=b ")], &[(MAIL, IA5_STRING, "a@b")]]);
        assert_eq!(subject(&mail).as_deref(), Some("1.2.840.113549.1.9.1=#1603614062,CN=\\ a\\=b\\ "));
        let pair = certificate(&[&[(O, UTF8_STRING, "o"), (CN, UTF8_STRING, "c")]]);
        assert_eq!(subject(&pair).as_deref(), Some("O=o+CN=c"));
        assert_eq!(subject(&certificate(&[])), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..100), at: prop::sample::Index, with: u8,
        ) {
            let _ = subject(&bytes);
            let mut bent = certificate(&[&[(&[0x55, 4, 3], UTF8_STRING, "client")]]);
            let at = at.index(bent.len());
            bent[at] = with;
            let _ = subject(&bent);
            let _ = subject(&bent[..at]);
        }

        #[test]
        fn different_names_are_written_differently(a in "[ a,=+#\\\\\"]{0,6}", b in "[ a,=+#\\\\\"]{0,6}") {
            prop_assert_eq!(escaped(&a) == escaped(&b), a == b);
        }
    }
}
