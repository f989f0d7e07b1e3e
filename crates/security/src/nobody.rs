//! Who does not exist, and must look like somebody.
//!
//! SCRAM shows iterations and salt before anything is proved, and a password in the clear takes as long to check as its iterations
//! say. So a name that is nobody's gets what some user has, each as often as users have it, and always the same while users stay as
//! they are.

use std::collections::BTreeMap;

use crate::{
    scram::{Credential, ScramHash},
    users::ITERATIONS_OURS,
};

/// Bytes of the salts we make ourselves.
pub(crate) const SALT_BYTES_OURS: usize = 24;
/// Bits of the random number whose digits to the base 36 are the salt that Kafka's tools make (`ScramFormatter.secureRandomBytes`).
const NUMBER_BITS: usize = 130;
/// Digits it has, but for one number in a billion.
const DIGITS: std::ops::RangeInclusive<usize> = 20..=26;
/// Begins what is derived from the secret and is no salt: no name holds this byte, since names are UTF-8.
const NO_NAME: u8 = 0xff;

/// What of a credential strangers get to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Look {
    iterations: u32,
    salt: Salt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Salt {
    /// Any bytes, so many.
    Bytes(usize),
    /// As Kafka's tools make them.
    Digits,
}

impl Look {
    pub(crate) const OURS: Self = Self { iterations: ITERATIONS_OURS, salt: Salt::Bytes(SALT_BYTES_OURS) };

    pub(crate) fn of(credential: &Credential) -> Self {
        let salt = &credential.salt;
        let is_digit = |b: &u8| b.is_ascii_digit() || b.is_ascii_lowercase();
        // The largest number of so many bits begins with a 1 if it has all the digits.
        let is_number = salt.first() != Some(&b'0') && (salt.len() < *DIGITS.end() || salt.first() == Some(&b'1'));
        let salt = match DIGITS.contains(&salt.len()) && is_number && salt.iter().all(is_digit) {
            true => Salt::Digits,
            false => Salt::Bytes(salt.len()),
        };
        Self { iterations: credential.iterations, salt }
    }
}

/// How many have what.
#[derive(Debug)]
pub(crate) struct Tally<T>(BTreeMap<T, usize>);

impl<T> Default for Tally<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Ord + Copy> Tally<T> {
    pub(crate) fn add(&mut self, what: T) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, what: T) {
        if let Some(count) = self.0.get_mut(&what) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&what);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn list(&self) -> Vec<(T, usize)> {
        self.0.iter().map(|(what, count)| (*what, *count)).collect()
    }

    /// What somebody has: `point` is where, of all who have something. The points of few change when somebody comes or goes.
    fn choose(&self, point: u64) -> Option<T> {
        let all: usize = self.0.values().sum();
        let mut place = usize::try_from((u128::from(point) * all as u128) >> 64).expect("below the number of all");
        self.0.iter().find_map(|(what, count)| match place.checked_sub(*count) {
            None => Some(*what),
            Some(rest) => {
                place = rest;
                None
            }
        })
    }
}

/// Makes credentials of those who do not exist.
pub(crate) struct Nobody {
    secret: Vec<u8>,
}

impl Nobody {
    pub(crate) fn new(secret: Vec<u8>) -> Self {
        Self { secret }
    }

    /// A credential no password fits, which looks like those of this mechanism.
    pub(crate) fn credential(&self, hash: ScramHash, name: &str, looks: Option<&Tally<Look>>) -> Credential {
        let look = looks.and_then(|looks| looks.choose(self.point(hash, b"look", name)));
        self.looking(hash, name, look.unwrap_or(Look::OURS))
    }

    /// A credential no password fits, which takes as long to check as those that passwords in the clear are checked against.
    pub(crate) fn by_password(&self, name: &str, costs: &Tally<(ScramHash, u32)>) -> Credential {
        let cost = costs.choose(self.point(ScramHash::Sha256, b"cost", name));
        let (hash, iterations) = cost.unwrap_or((ScramHash::Sha256, ITERATIONS_OURS));
        self.looking(hash, name, Look { iterations, ..Look::OURS })
    }

    fn looking(&self, hash: ScramHash, name: &str, look: Look) -> Credential {
        let salt = match look.salt {
            Salt::Bytes(bytes) => self.bytes(hash, name, bytes),
            Salt::Digits => digits(self.bytes(hash, name, NUMBER_BITS.div_ceil(8))),
        };
        // Nobody knows the secret, so nobody knows what this is a hash of.
        let key = self.derive(hash, b"keys", name);
        Credential { hash, iterations: look.iterations, salt, stored_key: key.clone(), server_key: key }
    }

    /// So many bytes, always the same for a name.
    fn bytes(&self, hash: ScramHash, name: &str, bytes: usize) -> Vec<u8> {
        let mut out = hash.hmac(&self.secret, name.as_bytes());
        for more in 1u32.. {
            if out.len() >= bytes {
                break;
            }
            out.extend(self.derive(hash, &more.to_be_bytes(), name));
        }
        out.truncate(bytes);
        out
    }

    fn point(&self, hash: ScramHash, what: &[u8; 4], name: &str) -> u64 {
        let derived = self.derive(hash, what, name);
        u64::from_be_bytes(derived[..8].try_into().expect("a hash is longer"))
    }

    fn derive(&self, hash: ScramHash, what: &[u8; 4], name: &str) -> Vec<u8> {
        hash.hmac(&self.secret, &[&[NO_NAME], what.as_slice(), name.as_bytes()].concat())
    }
}

/// The last [`NUMBER_BITS`] of a number, as its digits to the base 36.
fn digits(mut number: Vec<u8>) -> Vec<u8> {
    number[0] &= (1 << (NUMBER_BITS % 8)) - 1;
    let mut digits = Vec::with_capacity(*DIGITS.end());
    while number.iter().any(|byte| *byte != 0) {
        let mut rest = 0u32;
        for byte in &mut number {
            let value = (rest << 8) | u32::from(*byte);
            *byte = u8::try_from(value / 36).expect("the rest is below 36");
            rest = value % 36;
        }
        digits.push(char::from_digit(rest, 36).expect("below 36") as u8);
    }
    digits.reverse();
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody() -> Nobody {
        Nobody::new(b"secret".to_vec())
    }

    fn look(iterations: u32, salt: Salt) -> Look {
        Look { iterations, salt }
    }

    fn tally(looks: &[(Look, usize)]) -> Tally<Look> {
        let mut tally = Tally::default();
        for (look, times) in looks {
            (0..*times).for_each(|_| tally.add(*look));
        }
        tally
    }

    fn names() -> impl Iterator<Item = String> {
        (0..2000).map(|n| format!("name {n}"))
    }

    #[test]
    fn a_name_looks_as_users_do_and_as_often() {
        let looks = [
            (look(4096, Salt::Digits), 6),
            (look(4096, Salt::Bytes(64)), 2),
            (look(8192, Salt::Bytes(24)), 1),
            (look(16384, Salt::Bytes(200)), 1),
        ];
        let tally = tally(&looks);
        for hash in ScramHash::ALL {
            let mut seen = Tally::default();
            for name in names() {
                let one = nobody().credential(hash, &name, Some(&tally));
                assert_eq!(one, nobody().credential(hash, &name, Some(&tally)), "{name}");
                seen.add(Look::of(&one));
            }
            assert_eq!(seen.0.values().sum::<usize>(), 2000);
            assert!(seen.0.keys().eq(tally.0.keys()), "{seen:?}");
            for (look, times) in looks {
                // A tenth of the names are 200; 50 are four standard deviations and more.
                assert!(seen.0[&look].abs_diff(times * 200) < 100, "{look:?}: {seen:?}");
            }
        }
    }

    #[test]
    fn without_users_of_a_mechanism_names_look_as_ours_would() {
        for looks in [None, Some(&Tally::default())] {
            let one = nobody().credential(ScramHash::Sha512, "a", looks);
            assert_eq!((one.iterations, one.salt.len()), (ITERATIONS_OURS, SALT_BYTES_OURS));
        }
    }

    #[test]
    fn few_names_change_when_somebody_comes() {
        let looks = [(look(4096, Salt::Bytes(24)), 50), (look(8192, Salt::Bytes(24)), 50)];
        let (before, mut after) = (tally(&looks), tally(&looks));
        after.add(looks[1].0);
        let of = |name: &str, tally: &Tally<Look>| nobody().credential(ScramHash::Sha256, name, Some(tally)).iterations;
        let changed = names().filter(|name| of(name, &before) != of(name, &after)).count();
        // One in two hundred.
        assert!((1..50).contains(&changed), "{changed}");
        after.remove(looks[1].0);
        assert!(names().all(|name| of(&name, &before) == of(&name, &after)));
    }

    #[test]
    fn a_password_is_checked_as_those_of_users_are() {
        let mut costs = Tally::default();
        assert_eq!(nobody().by_password("a", &costs).iterations, ITERATIONS_OURS);
        costs.add((ScramHash::Sha512, 4097));
        let one = nobody().by_password("a", &costs);
        assert_eq!((one.hash, one.iterations, one.stored_key.len()), (ScramHash::Sha512, 4097, 64));
    }

    #[test]
    fn salts_of_kafkas_tools_are_told_and_made() {
        assert_eq!(digits(vec![0xff; 17]), b"1omfro7zwmumr3umxudzyj6scf".as_slice()); // 2¹³⁰ − 1
        assert_eq!(digits([vec![0; 16], vec![35]].concat()), b"z");
        let salt = |salt: &[u8]| Look::of(&Credential::from_salted(ScramHash::Sha256, b"", salt.to_vec(), 4096)).salt;
        assert_eq!(salt(b"1xr7pcvnnw1vpf4cpkrvdbzpvj"), Salt::Digits);
        assert_eq!(salt(b"pcvnnw1vpf4cpkrvdbzpvj1xr"), Salt::Digits);
        for other in ["2xr7pcvnnw1vpf4cpkrvdbzpvj", "0cvnnw1vpf4cpkrvdbzpvj1xr", "pcvnnw1vpf4cpkrvdbzpvj1xR", "salt"] {
            assert_eq!(salt(other.as_bytes()), Salt::Bytes(other.len()), "{other}");
        }
    }
}
