//! [`OnRedis`]: a provider under the conformance kit, on a server of its own.

use std::sync::{Arc, OnceLock};

use orchestrix_locking::conformance::Subject;
use orchestrix_locking::{DistributedLockProvider, RedisLockOptions, RedisLockProvider, Resource};

use super::RedisServer;

const USER: &str = "locks";
const PASSWORD: &str = "secret";

/// A server, and the one provider of a case on it.
pub(crate) struct OnRedis {
    server: RedisServer,
    url: String,
    provider: OnceLock<RedisLockProvider>,
    /// Which refusals by the server are all right, by their reason.
    may_be_refused: Option<&'static str>,
}

impl OnRedis {
    /// As a user who may do everything.
    pub(crate) fn new() -> Self {
        let server = RedisServer::start();
        Self { url: server.url(), server, provider: OnceLock::new(), may_be_refused: None }
    }

    /// As a user with these rules alone, who is refused nothing, but for this reason.
    pub(crate) fn restricted(rules: &[&str], may_be_refused: Option<&'static str>) -> Self {
        let user = format!("{USER} on >{PASSWORD} resetchannels -@all {}", rules.join(" "));
        let server = RedisServer::builder().user_acl(&user).start();
        Self { url: server.url_as(USER, PASSWORD), server, provider: OnceLock::new(), may_be_refused }
    }
}

impl Subject for OnRedis {
    async fn make(&self) -> Arc<dyn DistributedLockProvider> {
        let options = RedisLockOptions::default().connection_string(self.url.as_str());
        Arc::new(self.provider.get_or_init(|| RedisLockProvider::new(options).unwrap()).clone())
    }

    async fn waiters(&self, resource: &Resource) -> usize {
        self.provider.get().map_or(0, |provider| provider.waiters(resource))
    }

    /// What the process knows, and every key but the fences, which outlive their locks on purpose.
    async fn leftovers(&self) -> usize {
        let kept = self.provider.get().map_or(0, RedisLockProvider::len);
        kept + self.server.keys().iter().filter(|key| !key.ends_with("}:f")).count()
    }
}

impl Drop for OnRedis {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // Whatever the provider did in the case, it never tried what it may not.
        let refused = self.server.acl_log();
        let expected = |reason: &str| self.may_be_refused.is_some_and(|expected| expected == reason);
        assert!(refused.iter().all(|entry| expected(&entry["reason"])), "{refused:?}");
    }
}
