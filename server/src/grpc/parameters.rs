//! Parameters of a statement as a request has them: Ion binary values, or no bytes for NULL.

use ledgerstone_digest::ion::{self, Limits as IonLimits, Value};
use ledgerstone_query::error::{QueryError, SqlState};

/// At most so many values.
pub fn decode_parameters(parameters: &[Vec<u8>], most: usize) -> Result<Vec<Option<Value>>, QueryError> {
    if parameters.len() > most {
        return Err(QueryError::new(
            SqlState::TOO_MANY_ARGUMENTS,
            format!("a statement has at most {most} parameters, not {}", parameters.len()),
        ));
    }
    let decode = |(number, bytes): (usize, &Vec<u8>)| {
        if bytes.is_empty() {
            return Ok(None);
        }
        ion::decode(bytes, &IonLimits::DOCUMENT).map(Some).map_err(|error| {
            match QueryError::ion_binary_limit(&error.problem) {
                Some(code) => QueryError::new(code, format!("parameter ${} is too large: {error}", number + 1)),
                None => QueryError::new(
                    SqlState::INVALID_BINARY_REPRESENTATION,
                    format!("parameter ${} is not an Ion binary value: {error}", number + 1),
                ),
            }
        })
    };
    parameters.iter().enumerate().map(decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_limited_and_checked() {
        assert_eq!(decode_parameters(&[Vec::new(), ion::encode(&Value::int(5))], 2).unwrap().len(), 2);
        let null = decode_parameters(&[ion::encode(&Value::NULL)], 1).unwrap();
        assert_eq!(null, [Some(Value::NULL)]);
        assert!(decode_parameters(&[Vec::new(), Vec::new()], 1).is_err());
        let error = decode_parameters(&[vec![1, 2, 3]], 1).unwrap_err();
        assert!(error.message.contains("$1"), "{error}");
    }
}
