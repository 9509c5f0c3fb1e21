//! Texts that repeat, as numbers in a dictionary: what is grouped or compared by them is done once for each word, not for
//! each row. A column of a file is turned into that once, when it is decoded.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, StringArray};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int32Type};

/// A word stands for so many rows at least, on average, or it is not worth a dictionary.
const ROWS_PER_WORD_MIN: usize = 8;
/// And there are no more of them.
const WORDS_MAX: usize = 4096;

/// Whether a column of words is one of texts.
pub fn is_words(array: &dyn Array) -> bool {
    matches!(array.data_type(), DataType::Dictionary(key, value) if **key == DataType::Int32 && **value == DataType::Utf8)
}

/// The array by words if it is of texts and they repeat enough; as it is otherwise.
pub fn by_words(array: ArrayRef) -> ArrayRef {
    let words = array.as_string_opt::<i32>().and_then(words_of);
    words.map_or(array, |words| Arc::new(words) as ArrayRef)
}

/// The array with its texts in each row.
pub fn written_out(array: ArrayRef) -> ArrayRef {
    let Some(words) = array.as_dictionary_opt::<Int32Type>() else { return array };
    // Every key is one of the dictionary.
    take(words.values(), words.keys(), None).unwrap_or(array)
}

/// `None`: there are too many words.
fn words_of(texts: &StringArray) -> Option<DictionaryArray<Int32Type>> {
    let most = WORDS_MAX.min(texts.len() / ROWS_PER_WORD_MIN);
    let mut known: HashMap<&str, i32> = HashMap::new();
    let mut words: Vec<&str> = Vec::new();
    let mut keys: Vec<Option<i32>> = Vec::with_capacity(texts.len());
    for text in texts {
        let Some(text) = text else {
            keys.push(None);
            continue;
        };
        keys.push(Some(match known.entry(text) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(_) if words.len() == most => return None,
            Entry::Vacant(place) => {
                words.push(text);
                *place.insert(words.len() as i32 - 1)
            }
        }));
    }
    DictionaryArray::try_new(Int32Array::from(keys), Arc::new(StringArray::from(words))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_texts_that_they_stand_for() {
        let texts =
            |of: &dyn Fn(usize) -> Option<String>| -> ArrayRef { Arc::new((0..1000).map(of).collect::<StringArray>()) };
        let few = texts(&|row| (row % 7 > 0).then(|| format!("word {}", row % 100)));
        let words = by_words(few.clone());
        assert!(is_words(&*words));
        assert_eq!(words.null_count(), few.null_count());
        assert_eq!(&written_out(words), &few);
        let none = texts(&|_| None);
        assert_eq!(&written_out(by_words(none.clone())), &none);
        for many in [texts(&|row| Some(format!("word {row}"))), texts(&|row| Some(format!("word {}", row % 126)))] {
            assert!(!is_words(&*by_words(many.clone())));
            assert_eq!(&written_out(by_words(many.clone())), &many);
        }
    }
}
