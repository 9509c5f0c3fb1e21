//! Reads `vectors/*.json`, which other languages use too.

use ledgerstone_digest::Hash;
use serde_json::Value as Json;

/// `vectors/contract.json`: made by an independent program from the format's description.
pub fn contract() -> Json {
    serde_json::from_str(include_str!("../../vectors/contract.json")).unwrap()
}

/// A hash in a vector.
pub fn hash(json: &Json) -> Hash {
    json.as_str().unwrap().parse().unwrap()
}

/// Several hashes in a vector.
pub fn hashes(json: &Json) -> Vec<Hash> {
    json.as_array().unwrap().iter().map(hash).collect()
}

/// Bytes written as hexadecimal digits.
pub fn bytes(json: &Json) -> Vec<u8> {
    let text = json.as_str().unwrap();
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn ids_have_the_text_of_the_vectors() {
    for (bytes, text) in contract()["ids"].as_object().unwrap() {
        let id: ledgerstone_digest::Id = text.as_str().unwrap().parse().unwrap();
        assert_eq!(id.to_string(), text.as_str().unwrap());
        assert_eq!(id.0.iter().map(|b| format!("{b:02x}")).collect::<String>(), *bytes);
    }
}
