//! Signed notes (c2sp.org/signed-note) with Ed25519 keys, and witnesses' cosignatures (c2sp.org/tlog-cosignature, v1).
//!
//! A note is text, an empty line, and signature lines. A signature by a key that the reader does not know says nothing
//! and is passed over; a bad one by a key that it does know condemns the note.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;

use crate::hash::{Hash, shorten};

/// Bytes of a whole note.
pub const NOTE_BYTES_MAX: usize = 256 << 10;
/// Signature lines of a note.
pub const SIGNATURES_MAX: usize = 100;
/// Bytes of a key's name.
pub const NAME_BYTES_MAX: usize = 1024;

const SIGNATURE_PREFIX: &str = "\u{2014} ";
const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";

/// What a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// The text of a note (type byte 1): a log's own key.
    Ed25519,
    /// The text of a checkpoint together with a time (type byte 4): a witness's key.
    CosignatureV1,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            KeyKind::Ed25519 => 1,
            KeyKind::CosignatureV1 => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(KeyKind::Ed25519),
            4 => Some(KeyKind::CosignatureV1),
            _ => None,
        }
    }
}

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The name is empty, too long, or has a space, a plus sign or a control character in it.
    #[error("{0} cannot name a key: names have no spaces, plus signs or control characters")]
    Name(String),
    /// Not of the form of a verifier key.
    #[error("{0} is not a verifier key; it would look like name+0123abcd+base64")]
    Verifier(String),
    /// Not of the form of a private key. The text is not repeated here.
    #[error("this is not a private key; it would look like PRIVATE+KEY+name+0123abcd+base64")]
    Private,
    /// An algorithm that this version does not have.
    #[error("the key of {name} is of type {kind:#04x}; known are 0x01 (Ed25519) and 0x04 (Ed25519 cosignature)")]
    Kind {
        /// The key's name.
        name: String,
        /// The type byte.
        kind: u8,
    },
    /// The key id is not the one of this name and key.
    #[error("the key of {name} has id {expected}, not {found}: a digit is wrong, or the name")]
    Id {
        /// The key's name.
        name: String,
        /// What the text says.
        found: String,
        /// What follows from name and key.
        expected: String,
    },
    /// Not a point of the curve.
    #[error("the key of {0} is not an Ed25519 public key")]
    Point(String),
}

/// A public key with a name: whose signature is believed. Its text is the C2SP vkey.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    id: [u8; 4],
    public: ed25519_dalek::VerifyingKey,
}

impl VerifierKey {
    /// A key from its parts.
    pub fn new(name: &str, kind: KeyKind, public: &[u8; 32]) -> Result<Self, KeyError> {
        check_name(name)?;
        let point = ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| KeyError::Point(name.to_owned()))?;
        Ok(VerifierKey { name: name.to_owned(), kind, id: key_id(name, kind, public), public: point })
    }

    /// The name; for a log, its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The four bytes that name and key have in signature lines.
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// What the key signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public key.
    pub fn public(&self) -> &[u8; 32] {
        self.public.as_bytes()
    }

    fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else { return false };
        // Strict: one signature has one encoding, and keys of small order sign nothing.
        self.public.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![self.kind.byte()];
        bytes.extend_from_slice(self.public.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex(&self.id), STANDARD.encode(bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, id, bytes) = key_parts(text).ok_or_else(|| KeyError::Verifier(shorten(text)))?;
        let (kind, public) = kind_and_key(name, &bytes).ok_or_else(|| KeyError::Verifier(shorten(text)))??;
        let key = VerifierKey::new(name, kind, &public)?;
        check_id(name, id, key.id)?;
        Ok(key)
    }
}

/// A private key with a name. Its text is the one that Go's note package writes.
#[derive(Clone)]
pub struct SigningKey {
    secret: ed25519_dalek::SigningKey,
    verifier: VerifierKey,
}

impl SigningKey {
    /// The Ed25519 key of this seed, for notes.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        SigningKey::new(name, KeyKind::Ed25519, seed)
    }

    /// The key of this seed.
    pub fn new(name: &str, kind: KeyKind, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        let verifier = VerifierKey::new(name, kind, secret.verifying_key().as_bytes())?;
        Ok(SigningKey { secret, verifier })
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.verifier.name
    }

    /// The secret as text, for the key file only.
    pub fn to_private_text(&self) -> String {
        let mut bytes = vec![self.verifier.kind.byte()];
        bytes.extend_from_slice(self.secret.as_bytes());
        format!("{PRIVATE_PREFIX}{}+{}+{}", self.verifier.name, hex(&self.verifier.id), STANDARD.encode(bytes))
    }

    fn signature(&self, message: &[u8]) -> [u8; 64] {
        self.secret.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    /// Never shows the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.verifier)
    }
}

impl FromStr for SigningKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let rest = text.trim_end_matches('\n').strip_prefix(PRIVATE_PREFIX).ok_or(KeyError::Private)?;
        let (name, id, bytes) = key_parts(rest).ok_or(KeyError::Private)?;
        let (kind, seed) = kind_and_key(name, &bytes).ok_or(KeyError::Private)??;
        let key = SigningKey::new(name, kind, &seed)?;
        check_id(name, id, key.verifier.id)?;
        Ok(key)
    }
}

/// Why a text is not a note, or its signatures do not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Larger than any note.
    #[error("the note has {found} bytes; at most {NOTE_BYTES_MAX} are read")]
    TooLong {
        /// Its bytes.
        found: usize,
    },
    /// The form of a note is broken.
    #[error("malformed note: {0}")]
    Malformed(&'static str),
    /// A signature line that cannot be read.
    #[error("malformed note: signature line {line} is not \"— name base64\"")]
    SignatureLine {
        /// Counted from 1.
        line: usize,
    },
    /// A known key's signature does not hold.
    #[error("the signature of {name} does not hold: the text was changed, or another key signed")]
    BadSignature {
        /// The key's name.
        name: String,
    },
    /// A key of a kind that cannot sign this.
    #[error("the key of {name} is for {}", if *.cosigner { "cosignatures, not for notes" } else { "notes, not for cosignatures" })]
    WrongKind {
        /// The key's name.
        name: String,
        /// What the key is for.
        cosigner: bool,
    },
}

/// A note, none of whose signatures has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Whose it says it is.
    pub name: String,
    /// Which key it says it is of.
    pub key_id: [u8; 4],
    /// What follows the key id: of a kind that only the key tells.
    pub payload: Vec<u8>,
}

/// A cosignature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// The witness.
    pub name: String,
    /// When the witness signed, by its own clock: seconds since 1970 UTC.
    pub time_s: u64,
}

impl Note {
    /// Reads a note; checks its form only.
    pub fn parse(note: &str) -> Result<Note, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong { found: note.len() });
        }
        let at = note.rfind("\n\n").ok_or(NoteError::Malformed("no empty line stands between text and signatures"))?;
        let (text, rest) = note.split_at(at + 1);
        check_text(text)?;
        let lines = rest.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or(NoteError::Malformed("it does not end with a signature line and a newline"))?;
        let mut signatures = Vec::new();
        for (number, line) in lines.split('\n').enumerate() {
            if number == SIGNATURES_MAX {
                return Err(NoteError::Malformed("it has more than 100 signatures"));
            }
            signatures.push(Signature::parse(line).ok_or(NoteError::SignatureLine { line: number + 1 })?);
        }
        Ok(Note { text: text.to_owned(), signatures })
    }

    /// The signed text, with its last newline. Believe it only after [`Note::verify`].
    pub fn unverified_text(&self) -> &str {
        &self.text
    }

    /// The signature lines, checked or not.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Checks the signature of this key. `Ok(false)`: the key did not sign. An error: a signature in its name does not
    /// hold.
    pub fn verify(&self, key: &VerifierKey) -> Result<bool, NoteError> {
        if key.kind != KeyKind::Ed25519 {
            return Err(NoteError::WrongKind { name: key.name.clone(), cosigner: true });
        }
        let mut signed = false;
        for signature in self.signatures.iter().filter(|s| s.is_by(key)) {
            if !key.holds(self.text.as_bytes(), &signature.payload) {
                return Err(NoteError::BadSignature { name: key.name.clone() });
            }
            signed = true;
        }
        Ok(signed)
    }

    /// Checks the cosignature of this witness; the latest if it signed more than once. `Ok(None)`: it did not sign.
    pub fn verify_cosignature(&self, key: &VerifierKey) -> Result<Option<Cosignature>, NoteError> {
        if key.kind != KeyKind::CosignatureV1 {
            return Err(NoteError::WrongKind { name: key.name.clone(), cosigner: false });
        }
        let mut latest: Option<u64> = None;
        for signature in self.signatures.iter().filter(|s| s.is_by(key)) {
            let bad = || NoteError::BadSignature { name: key.name.clone() };
            let (time, bytes) = signature.payload.split_first_chunk::<8>().ok_or_else(bad)?;
            let time_s = u64::from_be_bytes(*time);
            if !key.holds(cosigned_message(&self.text, time_s).as_bytes(), bytes) {
                return Err(bad());
            }
            latest = latest.max(Some(time_s));
        }
        Ok(latest.map(|time_s| Cosignature { name: key.name.clone(), time_s }))
    }

    /// Adds a signature line, as a witness returned it.
    pub fn add_signature_line(&mut self, line: &str) -> Result<(), NoteError> {
        if self.signatures.len() == SIGNATURES_MAX {
            return Err(NoteError::Malformed("it has more than 100 signatures"));
        }
        let line = line.strip_suffix('\n').unwrap_or(line);
        self.signatures
            .push(Signature::parse(line).ok_or(NoteError::SignatureLine { line: self.signatures.len() + 1 })?);
        Ok(())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl Signature {
    /// True if name and key id are those of this key. It still has to be checked.
    pub fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.key_id == key.id
    }

    fn parse(line: &str) -> Option<Signature> {
        let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
        check_name(name).ok()?;
        let bytes = STANDARD.decode(encoded).ok()?;
        let (key_id, payload) = bytes.split_first_chunk::<4>()?;
        if payload.is_empty() {
            return None;
        }
        Some(Signature { name: name.to_owned(), key_id: *key_id, payload: payload.to_vec() })
    }
}

impl fmt::Display for Signature {
    /// The line, without its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key_id.to_vec();
        bytes.extend_from_slice(&self.payload);
        write!(f, "{SIGNATURE_PREFIX}{} {}", self.name, STANDARD.encode(bytes))
    }
}

/// Signs a text, which ends with a newline, with one or more keys.
pub fn sign(text: &str, keys: &[&SigningKey]) -> Result<String, NoteError> {
    check_text(text)?;
    if keys.is_empty() || keys.len() > SIGNATURES_MAX {
        return Err(NoteError::Malformed("a note has 1 to 100 signatures"));
    }
    let mut signatures = Vec::with_capacity(keys.len());
    for key in keys {
        let verifier = &key.verifier;
        if verifier.kind != KeyKind::Ed25519 {
            return Err(NoteError::WrongKind { name: verifier.name.clone(), cosigner: true });
        }
        let payload = key.signature(text.as_bytes()).to_vec();
        signatures.push(Signature { name: verifier.name.clone(), key_id: verifier.id, payload });
    }
    Ok(Note { text: text.to_owned(), signatures }.to_string())
}

/// A witness's signature line for a checkpoint's text, without its newline.
pub fn cosign(text: &str, key: &SigningKey, time_s: u64) -> Result<String, NoteError> {
    check_text(text)?;
    let verifier = &key.verifier;
    if verifier.kind != KeyKind::CosignatureV1 {
        return Err(NoteError::WrongKind { name: verifier.name.clone(), cosigner: false });
    }
    let mut payload = time_s.to_be_bytes().to_vec();
    payload.extend_from_slice(&key.signature(cosigned_message(text, time_s).as_bytes()));
    Ok(Signature { name: verifier.name.clone(), key_id: verifier.id, payload }.to_string())
}

fn cosigned_message(text: &str, time_s: u64) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Malformed("the text does not end with a newline"));
    }
    if text.bytes().any(|b| b < 0x20 && b != b'\n') {
        return Err(NoteError::Malformed("the text has control characters"));
    }
    Ok(())
}

/// True if a key can have this name.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn check_name(name: &str) -> Result<(), KeyError> {
    if is_name(name) { Ok(()) } else { Err(KeyError::Name(shorten(name))) }
}

fn key_id(name: &str, kind: KeyKind, public: &[u8; 32]) -> [u8; 4] {
    let hash = Hash::sha256(&[name.as_bytes(), &[b'\n', kind.byte()], public]);
    [hash.0[0], hash.0[1], hash.0[2], hash.0[3]]
}

/// Name, id and the bytes of `name+hex8+base64`. The base64 may have plus signs in it, the name not.
fn key_parts(text: &str) -> Option<(&str, [u8; 4], Vec<u8>)> {
    let mut parts = text.splitn(3, '+');
    let (name, id, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    if id.len() != 8 || !id.bytes().all(|b| b.is_ascii_hexdigit()) || encoded.len() > 100 {
        return None;
    }
    let id = u32::from_str_radix(id, 16).ok()?.to_be_bytes();
    Some((name, id, STANDARD.decode(encoded).ok()?))
}

fn kind_and_key(name: &str, bytes: &[u8]) -> Option<Result<(KeyKind, [u8; 32]), KeyError>> {
    let (kind, key) = bytes.split_first()?;
    match KeyKind::from_byte(*kind) {
        None => Some(Err(KeyError::Kind { name: shorten(name), kind: *kind })),
        Some(kind) => Some(Ok((kind, <[u8; 32]>::try_from(key).ok()?))),
    }
}

fn check_id(name: &str, found: [u8; 4], expected: [u8; 4]) -> Result<(), KeyError> {
    if found == expected {
        return Ok(());
    }
    Err(KeyError::Id { name: name.to_owned(), found: hex(&found), expected: hex(&expected) })
}

fn hex(id: &[u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(*id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> SigningKey {
        SigningKey::from_seed("ledger.example/rs", &[7; 32]).unwrap()
    }

    #[test]
    fn keys_have_the_published_texts() {
        let vkey = "ledger.example/rs+34eadbeb+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";
        assert_eq!(log().verifier().to_string(), vkey);
        assert_eq!(vkey.parse::<VerifierKey>().unwrap(), *log().verifier());
        let witness = SigningKey::new("witness.example/w1", KeyKind::CosignatureV1, &[9; 32]).unwrap();
        let vkey = "witness.example/w1+24b5d9fe+BP0XJDhaoMdbZPt4zWAvodmR/ev3axPFjtcC6sg16fYY";
        assert_eq!(witness.verifier().to_string(), vkey);
    }

    #[test]
    fn private_keys_are_read_back_and_never_shown() {
        let text = log().to_private_text();
        assert!(text.starts_with("PRIVATE+KEY+ledger.example/rs+34eadbeb+AQcH"));
        let read: SigningKey = format!("{text}\n").parse().unwrap();
        assert_eq!(read.verifier(), log().verifier());
        assert!(!format!("{read:?}").contains("BwcH"));
        let broken = format!("{}A", &text[..text.len() - 1]);
        assert!(!broken.parse::<SigningKey>().unwrap_err().to_string().contains("BwcH"));
    }

    #[test]
    fn malformed_keys_are_refused() {
        let good = log().verifier().to_string();
        let wrong = [
            "",
            "+",
            "a+b",
            "++",
            "+34eadbeb+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs",
            &good.replace("34eadbeb", "34eadbec"),
            &good.replace("ledger", "leidger"),
            &good.replace("34eadbeb", "4eadbeb"),
            &good.replace("+A", "+B"),
            &good.replace("+A", "+a b"),
            &good[..good.len() - 4],
            &format!("{good}AAAA"),
            &good.replace("34eadbeb", "+4eadbeb"),
            &good.replace("ledger.", "ledger "),
        ];
        for text in wrong {
            assert!(text.parse::<VerifierKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_signed_text_verifies_and_a_changed_one_does_not() {
        let note = sign("hello\n\nworld\n", &[&log()]).unwrap();
        let parsed = Note::parse(&note).unwrap();
        assert_eq!(parsed.unverified_text(), "hello\n\nworld\n");
        assert_eq!(parsed.to_string(), note);
        assert_eq!(parsed.verify(log().verifier()), Ok(true));
        let changed = Note::parse(&note.replace("world", "World")).unwrap();
        assert!(matches!(changed.verify(log().verifier()), Err(NoteError::BadSignature { .. })));
        let stranger = SigningKey::from_seed("ledger.example/rs", &[8; 32]).unwrap();
        assert_eq!(parsed.verify(stranger.verifier()), Ok(false));
    }

    #[test]
    fn unknown_signatures_are_passed_over() {
        let stranger = SigningKey::from_seed("stranger", &[8; 32]).unwrap();
        let note = sign("text\n", &[&stranger, &log()]).unwrap();
        assert_eq!(Note::parse(&note).unwrap().verify(log().verifier()), Ok(true));
    }

    #[test]
    fn one_bad_signature_of_a_known_key_condemns_the_note() {
        let mut note = Note::parse(&sign("text\n", &[&log()]).unwrap()).unwrap();
        let other = Note::parse(&sign("other\n", &[&log()]).unwrap()).unwrap();
        note.add_signature_line(&other.signatures()[0].to_string()).unwrap();
        assert!(matches!(note.verify(log().verifier()), Err(NoteError::BadSignature { .. })));
    }

    #[test]
    fn malformed_notes_are_refused() {
        let good = sign("text\n", &[&log()]).unwrap();
        let line = good.lines().last().unwrap().to_owned();
        let wrong = [
            String::new(),
            "\n\n".into(),
            "text\n\n".into(),
            "text\n".into(),
            good.trim_end().to_owned(),
            format!("{good}\n"),
            good.replace('\u{2014}', "-"),
            good.replace("text", "te\tt"),
            format!("text\n\n{line} \n"),
            format!("text\n\n{line}x\n"),
            format!("text\n\n{}\n", line.replace("ledger.example/rs", "")),
            "text\n\n\u{2014} a AAAAAA==\n".into(),
            format!("text\n\n{}", format!("{line}\n").repeat(101)),
            "a".repeat(NOTE_BYTES_MAX + 1),
        ];
        for note in wrong {
            assert!(Note::parse(&note).is_err(), "{note:?}");
        }
    }

    #[test]
    fn keys_sign_only_what_they_are_for() {
        let witness = SigningKey::new("w", KeyKind::CosignatureV1, &[9; 32]).unwrap();
        assert!(matches!(sign("t\n", &[&witness]), Err(NoteError::WrongKind { .. })));
        assert!(matches!(cosign("t\n", &log(), 1), Err(NoteError::WrongKind { .. })));
        let mut note = Note::parse(&sign("t\n", &[&log()]).unwrap()).unwrap();
        note.add_signature_line(&cosign("t\n", &witness, 5).unwrap()).unwrap();
        let cosignature = note.verify_cosignature(witness.verifier()).unwrap();
        assert_eq!(cosignature, Some(Cosignature { name: "w".into(), time_s: 5 }));
        assert!(note.verify(witness.verifier()).is_err());
        assert!(note.verify_cosignature(log().verifier()).is_err());
    }
}
