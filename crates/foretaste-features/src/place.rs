//! Where a lake lies: a folder, or a bucket of S3-compatible storage.
//!
//! Everything above sees one interface. A folder gets what object storage promises by itself: a
//! file that has been put is on disk before its name is told to anybody.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foretaste_core::{Error, ErrorKind, Result};
use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    ClientOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
};
use serde::{Deserialize, Serialize};

use crate::failure;

/// Where a lake lies, as a configuration says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlaceConfig {
    /// A folder, or `s3://bucket/prefix`; empty for the folder `tables` in the data folder.
    pub url: String,
    /// Address of S3-compatible storage; empty for Amazon's own.
    pub endpoint: String,
    /// Region that requests are signed for.
    pub region: String,
    /// Variable of the environment that holds the access key.
    pub access_key_env: String,
    /// Variable of the environment that holds the secret key.
    pub secret_key_env: String,
    /// File of two lines, access key and secret key, instead of the environment; empty for none.
    pub keys_file: String,
    /// Whether requests may go unencrypted.
    pub allow_http: bool,
}

impl Default for PlaceConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            endpoint: String::new(),
            region: "us-east-1".to_owned(),
            access_key_env: "AWS_ACCESS_KEY_ID".to_owned(),
            secret_key_env: "AWS_SECRET_ACCESS_KEY".to_owned(),
            keys_file: String::new(),
            allow_http: false,
        }
    }
}

/// What proves to storage who is asking.
#[derive(Clone)]
pub struct Keys {
    /// Name of the key.
    pub access: String,
    /// The secret that requests are signed with.
    pub secret: String,
}

impl PlaceConfig {
    /// True when the lake is a bucket, so that [`Place::open`] needs keys.
    pub fn is_bucket(&self) -> bool {
        self.url.starts_with("s3://")
    }

    /// Refuses what cannot be opened.
    ///
    /// # Errors
    /// `Config`, naming the setting.
    pub fn check(&self) -> Result<()> {
        let wrong = |text: String| Err(Error::new(ErrorKind::Config, text));
        if let Some(scheme) = self.url.split_once("://").map(|(scheme, _)| scheme) {
            if scheme != "s3" {
                return wrong(format!(
                    "lake.url: {scheme}:// is not known; give a folder or s3://"
                ));
            }
            if self.bucket().0.is_empty() {
                return wrong(format!("lake.url: {:?} names no bucket", self.url));
            }
        }
        if self.endpoint.starts_with("http://") && !self.allow_http {
            let text = "lake.endpoint is http, so keys and data would go unencrypted; use https, \
                        or set lake.allow_http";
            return wrong(text.to_owned());
        }
        Ok(())
    }

    fn bucket(&self) -> (&str, &str) {
        let rest = self.url.strip_prefix("s3://").unwrap_or("");
        rest.split_once('/').unwrap_or((rest, ""))
    }
}

/// A lake's storage below a prefix. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    folder: Option<PathBuf>,
    name: String,
}

impl Place {
    /// Opens the storage that `config` names; a folder is created, a bucket must exist.
    ///
    /// # Errors
    /// `Config` for settings that cannot work, `Io` when the folder refuses.
    pub fn open(config: &PlaceConfig, default: &FsPath, keys: Option<Keys>) -> Result<Self> {
        config.check()?;
        match (config.is_bucket(), config.url.as_str()) {
            (true, _) => Self::bucket(config, keys),
            (false, "") => Self::folder(default),
            (false, folder) => Self::folder(FsPath::new(folder)),
        }
    }

    /// The same for a lake that others have made: a folder is not created.
    ///
    /// # Errors
    /// As [`Place::open`]; `NotFound` for a folder that is not there.
    pub fn existing(config: &PlaceConfig, default: &FsPath, keys: Option<Keys>) -> Result<Self> {
        let folder = if config.url.is_empty() { default } else { FsPath::new(&config.url) };
        if !config.is_bucket() && !folder.is_dir() {
            let text = format!("there is no lake at {}; correct lake.url", folder.display());
            return Err(Error::not_found(text));
        }
        Self::open(config, default, keys)
    }

    /// A folder; it is created.
    pub fn folder(dir: &FsPath) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        let dir = fs_err::canonicalize(dir)?;
        let store = LocalFileSystem::new_with_prefix(&dir);
        let store = store.map_err(|e| failure::storage(dir.display(), e))?;
        let name = dir.display().to_string();
        Ok(Self { store: Arc::new(store), prefix: Path::default(), folder: Some(dir), name })
    }

    /// A storage of the caller's own, for instance one that fails when a test wants it to.
    pub fn of(store: Arc<dyn ObjectStore>, name: &str) -> Self {
        Self { store, prefix: Path::default(), folder: None, name: name.to_owned() }
    }

    fn bucket(config: &PlaceConfig, keys: Option<Keys>) -> Result<Self> {
        let (bucket, prefix) = config.bucket();
        let keys = keys.ok_or_else(|| {
            let (access, secret) = (&config.access_key_env, &config.secret_key_env);
            let text = format!("{} needs keys: set {access} and {secret}", config.url);
            Error::new(ErrorKind::Config, text + ", or lake.keys_file")
        })?;
        let client = ClientOptions::new()
            .with_allow_http(config.allow_http)
            .with_connect_timeout(Duration::from_secs(5))
            .with_timeout(Duration::from_secs(120));
        let retry = RetryConfig {
            max_retries: 5,
            retry_timeout: Duration::from_secs(30),
            ..RetryConfig::default()
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(&config.region)
            .with_access_key_id(keys.access)
            .with_secret_access_key(keys.secret)
            .with_client_options(client)
            .with_retry(retry);
        if !config.endpoint.is_empty() {
            builder = builder.with_endpoint(&config.endpoint);
        }
        let store = builder.build().map_err(|e| {
            Error::new(ErrorKind::Config, format!("lake.url {}", config.url)).with_source(e)
        })?;
        let prefix = Path::parse(prefix.trim_end_matches('/')).map_err(|e| {
            Error::new(ErrorKind::Config, format!("lake.url {}", config.url)).with_source(e)
        })?;
        Ok(Self { store: Arc::new(store), prefix, folder: None, name: config.url.clone() })
    }

    /// Looks whether the storage answers and lets us read.
    ///
    /// # Errors
    /// What the storage says.
    pub async fn look(&self) -> Result<()> {
        self.folders("").await.map(|_| ())
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The storage itself, for the SQL engine.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    /// Full name of `path` in the storage.
    pub(crate) fn path(&self, path: &str) -> Path {
        self.prefix.parts().chain(Path::from(path).parts()).collect()
    }

    /// Stores new bytes under a name; durable when it returns.
    ///
    /// # Errors
    /// `Conflict` when the name is taken.
    pub(crate) async fn create(&self, path: &str, bytes: Bytes) -> Result<()> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = self.store.put_opts(&self.path(path), bytes.into(), options).await;
        put.map_err(|e| failure::storage(self.shown(path), e))?;
        self.sync(path)
    }

    /// Where a name lies on this machine, if it does.
    pub(crate) fn local(&self, path: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(path))
    }

    /// Makes a file of a folder durable, and its name. Buckets are durable by themselves.
    fn sync(&self, path: &str) -> Result<()> {
        let (Some(folder), Some(file)) = (&self.folder, self.local(path)) else { return Ok(()) };
        fs_err::File::open(&file)?.sync_all()?;
        // The name lies in the parent, whose own name may be as new as the file.
        for dir in file.ancestors().skip(1).take_while(|dir| dir.starts_with(folder)) {
            fs_err::File::open(dir)?.sync_all()?;
        }
        Ok(())
    }

    /// The bytes under a name.
    pub(crate) async fn get(&self, path: &str) -> Result<Bytes> {
        let failed = |e| failure::storage(self.shown(path), e);
        let found = self.store.get(&self.path(path)).await.map_err(failed)?;
        found.bytes().await.map_err(failed)
    }

    /// Whether there is something under a name.
    pub(crate) async fn has(&self, path: &str) -> Result<bool> {
        match self.store.head(&self.path(path)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(failure::storage(self.shown(path), e)),
        }
    }

    /// Everything below a folder, in order of names.
    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>> {
        let listed = self.store.list(Some(&self.path(folder))).try_collect::<Vec<_>>().await;
        let mut found = listed.map_err(|e| failure::storage(self.shown(folder), e))?;
        found.sort_unstable_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }

    /// Names of the folders directly below a folder.
    pub(crate) async fn folders(&self, folder: &str) -> Result<Vec<String>> {
        let listed = self.store.list_with_delimiter(Some(&self.path(folder))).await;
        let listed = listed.map_err(|e| failure::storage(self.shown(folder), e))?;
        let names = listed.common_prefixes.iter();
        Ok(names.filter_map(|p| p.filename().map(str::to_owned)).collect())
    }

    /// Removes a name; one that is not there is fine.
    pub(crate) async fn remove(&self, location: &Path) -> Result<()> {
        match self.store.delete(location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failure::storage(location, e)),
        }
    }

    /// A name as people find it.
    pub(crate) fn shown(&self, path: &str) -> String {
        format!("{}/{path}", self.name.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(config: PlaceConfig, naming: &str) {
        let error = config.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(naming), "{error}");
    }

    #[test]
    fn what_cannot_be_opened_is_refused_by_name() {
        let of = |url: &str| PlaceConfig { url: url.to_owned(), ..PlaceConfig::default() };
        refused(of("gs://b/p"), "gs://");
        refused(of("s3://"), "no bucket");
        let endpoint = "http://127.0.0.1:1".to_owned();
        refused(PlaceConfig { endpoint: endpoint.clone(), ..of("s3://b") }, "allow_http");
        let open = PlaceConfig { endpoint, allow_http: true, ..of("s3://b/x/y") };
        open.check().unwrap();
        let error = Place::open(&open, FsPath::new("unused"), None).unwrap_err();
        assert!(error.to_string().contains("AWS_SECRET_ACCESS_KEY"), "{error}");
    }

    #[test]
    fn names_lie_below_the_prefix() {
        let config = PlaceConfig { url: "s3://b/x/y/".to_owned(), ..PlaceConfig::default() };
        let keys = Keys { access: "a".to_owned(), secret: "s".to_owned() };
        let place = Place::open(&config, FsPath::new("unused"), Some(keys)).unwrap();
        assert_eq!(place.path("t/manifest").as_ref(), "x/y/t/manifest");
    }
}
