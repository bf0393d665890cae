//! Vectors as stored: little-endian f32, four bytes a number.

/// The stored form of `vector`.
#[must_use]
pub fn to_bytes(vector: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(vector.len() * 4);
    for number in vector {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// The numbers of a stored vector; bytes beyond the last whole number are left out.
#[must_use]
pub fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn bytes_and_numbers_are_each_others_inverse(vector in proptest::collection::vec(proptest::num::f32::NORMAL, 0..50)) {
            proptest::prop_assert_eq!(from_bytes(&to_bytes(&vector)), vector);
        }
    }
}
