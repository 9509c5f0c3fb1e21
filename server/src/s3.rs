//! Objects in a bucket, in S3 or in what speaks as it does: where journal exports go, and where they come from.
//!
//! Where and as whom is the operator's word: the environment's variables `AWS_…`, and for a server the address of `serve --s3`.
//! Bucket and keys are put into the path of a request, never into the name of a host. A request is tried again, later each
//! time, if the other side fails or does not answer.

use std::future::Future;
use std::time::Duration;

use ledgerstone_digest::Hash;
use ledgerstone_journal::qldb::export::{ObjectSink, SinkError};
use ledgerstone_journal::qldb::source::{OBJECT_BYTES_MAX, OBJECTS_MAX, ObjectSource, SourceError};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::path::Path;
use object_store::{
    Attribute, BackoffConfig, ClientConfigKey, GetOptions, ObjectStore as _, ObjectStoreExt as _, PutOptions,
    PutPayload, RetryConfig,
};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

use crate::aws::{Endpoint, EndpointError};

/// Metadata of an object: the hash of its bytes, by which an export that goes on knows what is there already.
const HASH: &str = "sha256";

/// How objects are encrypted where they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption<'a> {
    /// As the bucket says.
    Unsaid,
    S3,
    Kms(&'a str),
}

/// How long a request may take, all attempts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Somebody waits for the answer.
    Short,
    Long,
}

/// Why there is no bucket to write to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct S3Error(String);

/// A bucket. Its operations block, and belong on threads on which that does no harm.
pub struct Bucket {
    store: AmazonS3,
    name: String,
    runtime: Handle,
    /// Turns true when nobody waits any more.
    stop: Option<watch::Receiver<bool>>,
}

/// What a command line names by `s3://BUCKET/BEGINNING`: objects whose keys begin like this.
pub struct Located {
    pub bucket: Bucket,
    pub beginning: String,
    /// Drives the bucket's requests.
    _runtime: Runtime,
}

impl Located {
    /// `None`: it is no such URL, but a path. Where S3 is and who asks stands in the environment.
    pub fn open(place: &std::path::Path) -> Option<Result<Located, S3Error>> {
        let (name, beginning) =
            place.to_str()?.strip_prefix("s3://").map(|url| url.split_once('/').unwrap_or((url, "")))?;
        let open = || {
            let failed = |error: &dyn std::fmt::Display| S3Error(error.to_string());
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.map_err(|error| failed(&error))?;
            let endpoint = endpoint_from_environment().map_err(|error| failed(&error))?;
            let handle = runtime.handle().clone();
            let bucket = Bucket::open(endpoint.as_ref(), name, Encryption::Unsaid, Patience::Long, handle)?;
            Ok(Located { bucket, beginning: beginning.to_owned(), _runtime: runtime })
        };
        Some(open())
    }
}

/// What `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` says; `None`: AWS itself.
fn endpoint_from_environment() -> Result<Option<Endpoint>, EndpointError> {
    let of = |name| std::env::var(name).ok().filter(|url| !url.is_empty());
    of("AWS_ENDPOINT_URL_S3").or_else(|| of("AWS_ENDPOINT_URL")).map(|url| url.parse()).transpose()
}

impl Bucket {
    /// Nothing is sent yet. `runtime` must have a thread of its own that drives it.
    pub fn open(
        endpoint: Option<&Endpoint>,
        name: &str,
        encryption: Encryption<'_>,
        patience: Patience,
        runtime: Handle,
    ) -> Result<Bucket, S3Error> {
        if !is_bucket(name) {
            return Err(S3Error(format!("{name:?} cannot be the name of a bucket")));
        }
        let (request, all, retries) = match patience {
            Patience::Short => ("5s", Duration::from_secs(8), 2),
            Patience::Long => ("120s", Duration::from_secs(180), 10),
        };
        let client = AmazonS3ConfigKey::Client;
        let mut builder = AmazonS3Builder::from_env()
            .with_config(client(ClientConfigKey::Timeout), request)
            .with_config(client(ClientConfigKey::ConnectTimeout), "5s")
            .with_retry(RetryConfig { backoff: BackoffConfig::default(), max_retries: retries, retry_timeout: all })
            .with_bucket_name(name)
            .with_virtual_hosted_style_request(false);
        if endpoint.is_some_and(|endpoint| !endpoint.is_tls()) {
            builder = builder.with_config(client(ClientConfigKey::AllowHttp), "true");
        }
        if let Some(endpoint) = endpoint {
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint.to_string());
        }
        builder = match encryption {
            Encryption::Unsaid => builder,
            Encryption::S3 => {
                // The only way to say it that the library has.
                let key = "aws_server_side_encryption".parse();
                builder.with_config(key.map_err(|error: object_store::Error| S3Error(error.to_string()))?, "AES256")
            }
            Encryption::Kms(key) => builder.with_sse_kms_encryption(key),
        };
        let store = builder.build().map_err(|error| S3Error(error.to_string()))?;
        Ok(Bucket { store, name: name.to_owned(), runtime, stop: None })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives up what it is doing when this turns true.
    pub fn until(mut self, stop: watch::Receiver<bool>) -> Bucket {
        self.stop = Some(stop);
        self
    }

    fn wait<T>(&self, key: &str, work: impl Future<Output = object_store::Result<T>>) -> Result<T, SinkError> {
        let mut stop = self.stop.clone();
        let stopped = async {
            match &mut stop {
                // Whoever could say so may have gone: then it is over as well.
                Some(stop) => drop(stop.wait_for(|stop| *stop).await),
                None => std::future::pending().await,
            }
        };
        let outcome = self.runtime.block_on(async {
            tokio::select! {
                done = work => Some(done),
                () = stopped => None,
            }
        });
        match outcome {
            Some(done) => done.map_err(|error| self.failed(key, &error)),
            None => Err(self.error(key, "it was stopped".to_owned(), false)),
        }
    }

    /// Keys and lengths of objects whose keys begin like this and have no delimiter behind that, at most about so many.
    async fn list(
        &self,
        beginning: &str,
        delimiter: Option<&'static str>,
        most: usize,
    ) -> object_store::Result<Vec<(String, u64)>> {
        let (mut found, mut page_token) = (Vec::new(), None);
        loop {
            let delimiter = delimiter.map(Into::into);
            let options = PaginatedListOptions { delimiter, page_token, ..PaginatedListOptions::default() };
            let page = self.store.list_paginated(Some(beginning), options).await?;
            found.extend(page.result.objects.into_iter().map(|object| (object.location.to_string(), object.size)));
            page_token = page.page_token;
            if page_token.is_none() || found.len() > most {
                return Ok(found);
            }
        }
    }

    fn path(&self, key: &str) -> Result<Path, SinkError> {
        Path::parse(key).map_err(|error| self.error(key, error.to_string(), true))
    }

    fn error(&self, key: &str, what: String, lasting: bool) -> SinkError {
        SinkError { place: format!("s3://{}/{key}", self.name), what, lasting }
    }

    fn failed(&self, key: &str, error: &object_store::Error) -> SinkError {
        use object_store::Error;
        let text = error.to_string();
        tracing::debug!(bucket = self.name, key, error = text, "S3 failed");
        let said = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
        let (what, lasting) = match (error, said) {
            (_, Some("NoSuchBucket")) => ("there is no such bucket".to_owned(), true),
            (Error::NotFound { .. }, _) => ("there is no such bucket or object".to_owned(), true),
            (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, said) => {
                (format!("the access key is refused ({})", said.unwrap_or("access denied")), true)
            }
            (Error::InvalidPath { .. } | Error::NotSupported { .. } | Error::NotImplemented { .. }, _) => (text, true),
            (_, Some(code)) => (code.to_owned(), is_lasting(code)),
            _ => (text, false),
        };
        self.error(key, what, lasting)
    }
}

impl ObjectSink for Bucket {
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), SinkError> {
        let path = self.path(key)?;
        let mut options = PutOptions::default();
        options.attributes.insert(Attribute::Metadata(HASH.into()), Hash::sha256(&[bytes]).to_string().into());
        let payload = PutPayload::from(bytes.to_vec());
        self.wait(key, self.store.put_opts(&path, payload, options)).map(drop)
    }

    fn holds(&self, key: &str, bytes: &[u8]) -> Result<bool, SinkError> {
        let path = self.path(key)?;
        let work = async {
            match self.store.get_opts(&path, GetOptions::new().with_head(true)).await {
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                head => head.map(Some),
            }
        };
        let Some(head) = self.wait(key, work)? else { return Ok(false) };
        let hash = head.attributes.get(&Attribute::Metadata(HASH.into()));
        let same = hash.is_some_and(|hash| hash.as_ref() == Hash::sha256(&[bytes]).to_string());
        Ok(same && head.meta.size == bytes.len() as u64)
    }

    fn keys(&self, beginning: &str) -> Result<Vec<String>, SinkError> {
        let keys = self.wait(beginning, self.list(beginning, Some("/"), usize::MAX))?;
        Ok(keys.into_iter().map(|(key, _)| key).collect())
    }

    fn get(&self, key: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, SinkError> {
        let path = self.path(key)?;
        let work = async {
            let found = match self.store.get(&path).await {
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                found => found?,
            };
            if found.meta.size > bytes_max {
                return Ok(Some(None));
            }
            Ok(Some(Some(found.bytes().await?.to_vec())))
        };
        match self.wait(key, work)? {
            None => Ok(None),
            Some(Some(bytes)) => Ok(Some(bytes)),
            Some(None) => Err(self.error(key, format!("it is longer than {bytes_max} bytes"), true)),
        }
    }
}

impl ObjectSource for Located {
    fn list(&self) -> Result<Vec<(String, u64)>, SourceError> {
        let listed = self.bucket.list(&self.beginning, None, OBJECTS_MAX);
        self.bucket.wait(&self.beginning, listed).map_err(unread)
    }

    fn read(&self, key: &str) -> Result<Vec<u8>, SourceError> {
        let missing = || self.bucket.error(key, "it has gone".to_owned(), true);
        self.bucket.get(key, OBJECT_BYTES_MAX).and_then(|object| object.ok_or_else(missing)).map_err(unread)
    }
}

fn unread(error: SinkError) -> SourceError {
    SourceError { place: error.place, problem: error.what }
}

/// Letters that need no thought in a path. S3's own rule is stricter, and S3's to tell.
pub fn is_bucket(name: &str) -> bool {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    (3..=255).contains(&name.len()) && letters && !name.starts_with('.')
}

/// Codes of S3 that say the same whenever it is asked.
fn is_lasting(code: &str) -> bool {
    code.starts_with("Invalid")
        || code.starts_with("KMS.")
        || matches!(code, "AccessDenied" | "SignatureDoesNotMatch" | "AuthorizationHeaderMalformed")
        || matches!(code, "PermanentRedirect" | "EntityTooLarge" | "KeyTooLongError" | "MethodNotAllowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_one_part_of_a_path() {
        for good in ["abc", "my-bucket.1", "My_Bucket"] {
            assert!(is_bucket(good), "{good}");
        }
        for bad in
            ["", "ab", "..", "...", ".abc", "a/b", "a/../b", "a b", "abc?x", "abc#", "abc%2f", "äbc", &"x".repeat(256)]
        {
            assert!(!is_bucket(bad), "{bad}");
        }
    }
}
