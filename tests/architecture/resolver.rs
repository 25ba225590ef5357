//! Resolves a path to the file that declares its target, through re-exports.

use std::collections::{BTreeMap, BTreeSet};

use super::parser::{Import, Module};

/// The modules of the crate by their paths. The path of the crate itself is empty.
pub(crate) struct Resolver<'a> {
    pub(crate) modules: BTreeMap<Vec<String>, (&'a str, &'a Module)>,
}

/// The lookups on the way to this one, so that imports that refer to each other do not recurse for ever.
type Seen = BTreeSet<(Vec<String>, String)>;

/// The file of a path's target, and the module if the target is one.
type Found<'a> = Option<(&'a str, Option<Vec<String>>)>;

impl<'a> Resolver<'a> {
    /// The file of the target of a path in `module`. `None` if the target is outside the crate or a local name.
    pub(crate) fn file_of(&self, module: &[String], path: &[String]) -> Option<&'a str> {
        self.resolve(module, path, &mut Seen::new()).map(|(file, _)| file)
    }

    fn resolve(&self, module: &[String], path: &[String], seen: &mut Seen) -> Found<'a> {
        let (first, rest) = path.split_first()?;
        let mut here = module.to_vec();
        match first.as_str() {
            "" => return None,
            "crate" => here.clear(),
            "self" => {}
            "super" => _ = here.pop()?,
            _ => return self.name_in(&here, first, rest, seen, true),
        }
        let mut rest = rest;
        while let Some((segment, after)) = rest.split_first()
            && segment == "super"
        {
            here.pop()?;
            rest = after;
        }
        match rest.split_first() {
            None => Some((self.modules.get(&here)?.0, Some(here))),
            // A name that is not found is made by a macro, and belongs to its module.
            Some((name, after)) => {
                self.name_in(&here, name, after, seen, false).or_else(|| Some((self.modules.get(&here)?.0, None)))
            }
        }
    }

    /// Resolves a name in a module, and the rest of the path.
    fn name_in(&self, module: &[String], name: &str, rest: &[String], seen: &mut Seen, in_code: bool) -> Found<'a> {
        if !seen.insert((module.to_vec(), name.to_owned())) {
            return None;
        }
        let (file, declared) = self.modules.get(module)?;
        let inner: Vec<_> = module.iter().cloned().chain([name.to_owned()]).collect();
        if self.modules.contains_key(&inner) {
            return self.inside(&inner, rest, seen);
        }
        if declared.items.contains(name) {
            return Some((file, None));
        }
        if let Some(import) = declared.imports.get(name) {
            return self.through(module, import, rest, seen);
        }
        let re_exported = declared.globs.iter().filter(|glob| in_code || glob.re_exported);
        for glob in re_exported {
            let Some((_, Some(target))) = self.resolve(module, &glob.path, seen) else { continue };
            if let Some(found) = self.name_in(&target, name, rest, seen, false) {
                return Some(found);
            }
        }
        None
    }

    /// Resolves an import, and the rest of the path.
    fn through(&self, module: &[String], import: &Import, rest: &[String], seen: &mut Seen) -> Found<'a> {
        // `use name::…` of an external crate would find this import itself.
        if import.path.first().is_some_and(|first| self.is_outside(module, first)) {
            return None;
        }
        match self.resolve(module, &import.path, seen)? {
            (_, Some(target)) => self.inside(&target, rest, seen),
            found => Some(found),
        }
    }

    fn inside(&self, module: &[String], rest: &[String], seen: &mut Seen) -> Found<'a> {
        let file = self.modules.get(module)?.0;
        match rest.split_first() {
            None => Some((file, Some(module.to_vec()))),
            Some((name, after)) => self.name_in(module, name, after, seen, false).or(Some((file, None))),
        }
    }

    /// Whether an import that begins with this name is of an external crate.
    fn is_outside(&self, module: &[String], first: &str) -> bool {
        if matches!(first, "crate" | "self" | "super") {
            return false;
        }
        let inner: Vec<_> = module.iter().cloned().chain([first.to_owned()]).collect();
        let declared = self.modules.get(module).map(|(_, module)| module);
        !self.modules.contains_key(&inner) && !declared.is_some_and(|module| module.items.contains(first))
    }
}
