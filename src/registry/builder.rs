//! [`LockingBuilder`]: the registration at start-up.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::Locking;
use crate::{BuildError, BuildProblem, DistributedLockProvider, LockOptions};

/// Collects providers and options at start-up. Made by [`Locking::builder`].
///
/// No method does I/O, and none but [`build`](Self::build) can fail: it reports all mistakes at once.
#[derive(Debug, Default)]
#[must_use = "nothing is registered before build"]
pub struct LockingBuilder {
    defaults: Vec<(&'static str, NewProvider)>,
    named: Vec<(String, Arc<dyn DistributedLockProvider>)>,
    options: LockOptions,
}

type NewProvider = Result<Arc<dyn DistributedLockProvider>, BuildError>;

impl LockingBuilder {
    /// Makes locks in this process's memory the default.
    #[cfg(feature = "memory")]
    #[doc(alias = "AddInMemoryLocking")]
    pub fn add_in_memory_locking(self) -> Self {
        self.add_default("add_in_memory_locking", Ok(Arc::new(crate::InMemoryLockProvider::new())))
    }

    /// Makes locks on a Redis or Valkey server the default. Connects at the first acquire or check.
    #[cfg(feature = "redis")]
    #[doc(alias = "AddRedisLocking")]
    pub fn add_redis_locking(self, options: crate::RedisLockOptions) -> Self {
        let provider = crate::RedisLockProvider::new(options).map(|provider| Arc::new(provider) as _);
        self.add_default("add_redis_locking", provider)
    }

    /// Makes your own provider the default.
    pub fn add_default_provider(self, provider: impl DistributedLockProvider) -> Self {
        self.add_default("add_default_provider", Ok(Arc::new(provider)))
    }

    /// Adds a provider with a name. [`Locking::named`] gives access to it.
    pub fn add_provider(mut self, name: impl Into<String>, provider: impl DistributedLockProvider) -> Self {
        self.named.push((name.into(), Arc::new(provider)));
        self
    }

    /// The options of locks that are made without options.
    pub fn default_options(mut self, options: LockOptions) -> Self {
        self.options = options;
        self
    }

    /// Checks the registration. Does no I/O: a server that is down shows at the first [`check`](Locking::check) or acquire.
    ///
    /// # Errors
    ///
    /// A [`BuildError`] with every mistake: no default provider or several, a name that is empty or used
    /// twice, an option out of range, a connection string that does not parse.
    pub fn build(self) -> Result<Locking, BuildError> {
        let mut problems = Vec::new();
        let given: Vec<_> = self.defaults.iter().map(|(method, _)| *method).collect();
        let mut default = None;
        for (_, provider) in self.defaults {
            match provider {
                Ok(provider) => default = Some(provider),
                Err(error) => problems.extend(error.into_problems()),
            }
        }
        match given.len() {
            0 => problems.push(BuildProblem::NoDefaultProvider),
            1 => {}
            _ => problems.push(BuildProblem::SeveralDefaultProviders { given }),
        }
        let mut named = BTreeMap::new();
        for (name, provider) in self.named {
            match named.entry(name) {
                Entry::Vacant(free) if free.key().is_empty() => problems.push(BuildProblem::EmptyName),
                Entry::Vacant(free) => _ = free.insert(provider),
                Entry::Occupied(taken) => problems.push(BuildProblem::DuplicateName { name: taken.key().clone() }),
            }
        }
        if let Err(error) = self.options.validate() {
            problems.push(BuildProblem::Options(error));
        }
        BuildError::from_problems(problems)?;
        // Never `None` here: a missing default is a problem, which the line above returned.
        let default = default.ok_or(BuildProblem::NoDefaultProvider)?;
        Ok(Locking::new(default, named, self.options))
    }

    fn add_default(mut self, method: &'static str, provider: NewProvider) -> Self {
        self.defaults.push((method, provider));
        self
    }
}
