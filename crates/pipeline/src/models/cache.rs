//! Models that stay in memory from job to job.

use crate::work::Fingerprint;
use crate::{Error, Result};
use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Models that stay loaded when their stage is over, so that the next job finds them.
///
/// It holds at most as many bytes as it was made for; what was used longest ago goes first. A model that alone is larger is
/// loaded for its stage and dropped behind it, and everything else makes room for it.
#[derive(Default)]
pub struct ModelCache {
    capacity: u64,
    /// What was used last stands last.
    held: Mutex<Vec<Held>>,
}

struct Held {
    name: &'static str,
    key: Fingerprint,
    bytes: u64,
    model: Arc<dyn Any + Send + Sync>,
}

impl ModelCache {
    /// A cache for models of `capacity` bytes together.
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self { capacity, held: Mutex::default() }
    }

    /// Keeps nothing: each model is dropped when its stage is over.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The models in memory and their bytes.
    #[must_use]
    pub fn held(&self) -> Vec<(&'static str, u64)> {
        self.lock().iter().map(|held| (held.name, held.bytes)).collect()
    }

    /// Gives all memory back. A model that a running job uses goes when its stage is over.
    pub fn release(&self) {
        self.lock().clear();
    }

    /// The model of `key`, which is loaded where it isn't here. `bytes` is what it will take.
    pub(crate) fn get_or_load<T: Send + Sync + 'static>(
        &self,
        name: &'static str,
        key: Fingerprint,
        bytes: u64,
        load: impl FnOnce() -> Result<T>,
    ) -> Result<Arc<T>> {
        if let Some(model) = self.take(name, &key) {
            return model.downcast().map_err(|_| Error::Internal("a model of another type"));
        }
        // Room is made before the model comes, so that both are never in memory together.
        self.make_room(bytes);
        let model = Arc::new(load()?);
        if bytes <= self.capacity {
            // Another job may have loaded one meanwhile.
            self.make_room(bytes);
            self.lock().push(Held { name, key, bytes, model: model.clone() });
        }
        Ok(model)
    }

    /// What is held under a key, which is the last one used from now on.
    fn take(&self, name: &str, key: &Fingerprint) -> Option<Arc<dyn Any + Send + Sync>> {
        let mut held = self.lock();
        let at = held.iter().position(|held| held.name == name && held.key == *key)?;
        let found = held.remove(at);
        let model = found.model.clone();
        held.push(found);
        Some(model)
    }

    fn make_room(&self, bytes: u64) {
        let mut held = self.lock();
        while !held.is_empty() && held.iter().map(|held| held.bytes).sum::<u64>() + bytes > self.capacity {
            held.remove(0);
        }
    }

    /// A thread that panicked leaves a list that is whole: it changes by single pushes and removals.
    fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for ModelCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelCache").field("capacity", &self.capacity).field("held", &self.held()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(cache: &ModelCache, name: &'static str, bytes: u64) -> bool {
        let mut loaded = false;
        let key = Fingerprint::of(&name).unwrap();
        let load = || {
            loaded = true;
            Ok(name.to_owned())
        };
        assert_eq!(*cache.get_or_load(name, key, bytes, load).unwrap(), name);
        loaded
    }

    fn names(cache: &ModelCache) -> Vec<&'static str> {
        cache.held().into_iter().map(|held| held.0).collect()
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let cache = ModelCache::new(10);
        assert!(get(&cache, "text", 4) && get(&cache, "image", 4));
        assert!(!get(&cache, "text", 4));
        assert!(get(&cache, "vae", 3));
        assert_eq!(names(&cache), ["text", "vae"]);
        assert!(get(&cache, "image", 4));
        assert_eq!(names(&cache), ["vae", "image"]);
        cache.release();
        assert!(names(&cache).is_empty() && get(&cache, "vae", 3));
    }

    #[test]
    fn a_model_that_is_too_large_is_not_kept() {
        let cache = ModelCache::new(10);
        assert!(get(&cache, "text", 4));
        assert!(get(&cache, "transformer", 11) && get(&cache, "transformer", 11));
        assert!(names(&cache).is_empty());
        let none = ModelCache::none();
        assert!(get(&none, "text", 1) && get(&none, "text", 1));
    }

    #[test]
    fn a_failed_load_leaves_nothing() {
        let cache = ModelCache::new(10);
        let key = Fingerprint::of(&1).unwrap();
        let failed = cache.get_or_load::<u8>("vae", key, 1, || Err(Error::Cancelled));
        assert!(matches!(failed, Err(Error::Cancelled)) && cache.held().is_empty());
    }
}
