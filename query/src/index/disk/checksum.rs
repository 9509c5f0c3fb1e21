//! A 64-bit checksum, made for speed: it finds damage, it does not withstand an attacker. (What an attacker could change
//! here is derived, and `ledgerstone verify` and receipts do not read it.)
//!
//! Every step is a bijection of the state and of the word taken in, so a change confined to one 8-byte word is always
//! found; any other goes unseen once in 2^64.

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const LANES: [u64; 4] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89];

/// The checksum of these bytes under a seed, which says where they belong.
pub fn hash64(seed: u64, bytes: &[u8]) -> u64 {
    let mut lanes = LANES.map(|lane| lane ^ seed);
    let (chunks, rest) = bytes.as_chunks::<32>();
    for chunk in chunks {
        for (lane, word) in lanes.iter_mut().zip(chunk.as_chunks::<8>().0) {
            *lane = step(*lane, u64::from_le_bytes(*word));
        }
    }
    let [mut state, ..] = lanes;
    for lane in lanes.iter().skip(1) {
        state = step(state, *lane);
    }
    let (words, tail) = rest.as_chunks::<8>();
    for word in words {
        state = step(state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last.iter_mut().zip(tail).for_each(|(to, from)| *to = *from);
    state = step(state, u64::from_le_bytes(last));
    state = step(state, bytes.len() as u64);
    mix(state)
}

fn step(state: u64, word: u64) -> u64 {
    (state ^ word).wrapping_mul(MULTIPLIER).rotate_left(29)
}

/// Spreads every bit over all of them.
fn mix(mut state: u64) -> u64 {
    state = (state ^ (state >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    state = (state ^ (state >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    state ^ (state >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_every_length_and_every_seed_changes_the_sum() {
        let bytes: Vec<u8> = (0..200).map(|n| (n * 7) as u8).collect();
        for length in 0..bytes.len() {
            let whole = &bytes[..length];
            let sum = hash64(1, whole);
            assert_ne!(sum, hash64(2, whole));
            assert_ne!(sum, hash64(1, &bytes[..length + 1]), "{length}");
            for at in 0..length * 8 {
                let mut flipped = whole.to_vec();
                flipped[at / 8] ^= 1 << (at % 8);
                assert_ne!(sum, hash64(1, &flipped), "bit {at} of {length} bytes");
            }
        }
        assert_ne!(hash64(0, &[0; 8]), hash64(0, &[0; 16]));
    }
}
