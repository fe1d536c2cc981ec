//! An S3 server in this process, on a free port, over a temporary folder.

use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use foretaste_features::{Keys, Place, PlaceConfig};
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Stops when it is dropped.
pub struct S3 {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl S3 {
    /// A server with the bucket `lake`, which checks signatures.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("lake")).unwrap();
        let files = s3s_fs::FileSystem::new(folder.path()).unwrap();
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = service.build();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = sync_channel(1);
        let serve = async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let connection = http.serve_connection(TokioIo::new(socket), service.clone());
                let connection = connection.into_owned();
                tokio::spawn(async move { drop(connection.await) });
            }
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                tokio::select! { () = serve => {}, _ = stopped => {} }
            });
        });
        let address = told.recv().unwrap();
        Self { address, stop: Some(stop), thread: Some(thread), _folder: folder }
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A lake below `prefix` of the bucket.
    pub fn place(&self, prefix: &str) -> Place {
        self.place_with(prefix, "secret")
    }

    /// The same with a secret of the caller's choice.
    pub fn place_with(&self, prefix: &str, secret: &str) -> Place {
        self.place_of("lake", prefix, secret)
    }

    /// The same in any bucket, which need not be there.
    pub fn place_of(&self, bucket: &str, prefix: &str, secret: &str) -> Place {
        let config = PlaceConfig {
            url: format!("s3://{bucket}/{prefix}"),
            endpoint: self.endpoint(),
            allow_http: true,
            ..PlaceConfig::default()
        };
        let keys = Keys { access: "key".to_owned(), secret: secret.to_owned() };
        Place::open(&config, std::path::Path::new("unused"), Some(keys)).unwrap()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
