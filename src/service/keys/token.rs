//! Tokens: 256 random bits that a person can copy, and a scanner of secrets can recognise.
//!
//! `cd_`, 43 characters of base62, then six that are the CRC-32 of those 43. The first
//! characters are shown and looked up by; the whole is never stored, only its SHA-256.

use ring::digest;
use ring::rand::SecureRandom as _;
use ring::rand::SystemRandom;

use crate::config::Secret;
use crate::error::Error;
use crate::error::Result;

/// How every token begins.
const PREFIX: &str = "cd_";
/// Characters of 256 bits.
const RANDOM: usize = 43;
/// Characters of a checksum.
const CHECK: usize = 6;
/// Characters that are shown, the prefix among them: 48 of the 256 bits.
const SHOWN: usize = 11;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A token; printed it is `***`.
#[derive(Debug, Clone)]
pub struct Token(Secret);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// [`Error::Internal`] when the system has no random numbers.
    pub fn generate() -> Result<Self> {
        let mut bits = [0; 32];
        let filled = SystemRandom::new().fill(&mut bits);
        filled.map_err(|_| Error::internal(anyhow::anyhow!("the system gives no random numbers")))?;
        Ok(Self::of(bits))
    }

    fn of(bits: [u8; 32]) -> Self {
        let random = base62(bits, RANDOM);
        let check = checksum(&random);
        Self(Secret::new(format!("{PREFIX}{random}{check}")))
    }

    /// The token in a text, if its form and its checksum are those of one.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let body = text.strip_prefix(PREFIX)?;
        if body.len() != RANDOM + CHECK || !body.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let (random, check) = body.split_at(RANDOM);
        (checksum(random) == check).then(|| Self(Secret::new(text)))
    }

    /// The part that is no secret.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.0.reveal()[..SHOWN]
    }

    /// The whole of it, for the one who asked for the key.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, self.0.reveal().as_bytes()).as_ref().to_vec()
    }
}

/// A number, its first byte the greatest, in so many digits.
fn base62<const N: usize>(mut number: [u8; N], digits: usize) -> String {
    let mut text = vec![0; digits];
    for place in text.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in &mut number {
            let value = rest * 256 + u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            rest = value % 62;
        }
        *place = DIGITS[rest as usize];
    }
    text.into_iter().map(char::from).collect()
}

fn checksum(text: &str) -> String {
    base62(crc32(text.as_bytes()).to_be_bytes(), CHECK)
}

/// The CRC-32 of zip and Ethernet.
fn crc32(bytes: &[u8]) -> u32 {
    let one = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_crc32() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(checksum("123456789"), "3jZRME");
    }

    #[test]
    fn a_token_has_all_of_its_bits_and_reads_back() {
        assert_eq!(Token::of([0; 32]).reveal(), format!("cd_{}2CZclj", "0".repeat(43)));
        // 2^256 - 1, and its checksum.
        assert_eq!(Token::of([255; 32]).reveal(), "cd_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13sRzl1");
        let (one, other) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        let read = Token::read(one.reveal()).unwrap();
        assert_eq!((read.hash(), read.shown()), (one.hash(), &one.reveal()[..11]));
        assert_eq!(format!("{one:?}"), "Token(***)");
    }

    #[test]
    fn whatever_is_mistyped_is_no_token() {
        let token = Token::generate().unwrap();
        let text = token.reveal();
        for at in 0..text.len() {
            for other in ['0', 'z', '_', ' '] {
                let mut wrong = text.to_owned();
                wrong.replace_range(at..=at, other.encode_utf8(&mut [0; 4]));
                assert_eq!(Token::read(&wrong).is_some(), wrong == text, "{at} {other}");
            }
        }
        for wrong in ["", "cd_", &text[3..], &text[..51], &format!("{text}0"), &format!("cd_é{}", &text[5..])] {
            assert!(Token::read(wrong).is_none());
        }
    }
}
