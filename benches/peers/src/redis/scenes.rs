//! The scenes.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Each task has one.
    Own,
    /// All have the same.
    One,
}

/// So many clients with so many tasks each, holding for no time at all.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) clients: usize,
    /// Of each client.
    pub(crate) tasks: usize,
    pub(crate) keys: Keys,
}

impl Scene {
    pub(crate) const fn contended(&self) -> bool {
        matches!(self.keys, Keys::One)
    }
}

const fn scene(name: &'static str, title: &'static str, clients: usize, tasks: usize, keys: Keys) -> Scene {
    Scene { name, title, clients, tasks, keys }
}

pub(crate) const SCENES: [Scene; 6] = [
    scene("one-task", "One task", 1, 1, Keys::Own),
    scene("own-keys", "64 tasks, own keys", 1, 64, Keys::Own),
    scene("one-process", "64 tasks of one process, one key", 1, 64, Keys::One),
    scene("clients-2", "2 clients, one key", 2, 1, Keys::One),
    scene("clients-16", "16 clients, one key", 16, 1, Keys::One),
    scene("clients-64", "64 clients, one key", 64, 1, Keys::One),
];

/// In which the commands of clients are told from those of scripts.
pub(crate) const LEARNING: Scene = scene("learning", "", 4, 4, Keys::One);
