//! Tests of the checker on small trees: it finds all edges, and no others.

use std::collections::BTreeMap;

use super::circles::{Known, broken_floors, broken_rules};
use super::graph::Graph;

fn graph(files: &[(&str, &str)]) -> Graph {
    let files: BTreeMap<_, _> = files.iter().map(|(name, text)| (format!("src/{name}"), (*text).to_owned())).collect();
    Graph::of(&files)
}

/// All ways in which one file can name an item of another.
#[test]
fn a_name_is_found_however_it_is_written() {
    for text in [
        "use crate::lower::Item;",
        "use crate::{lower::{Item as Other}};",
        "use crate::lower;",
        "use crate::lower::*;",
        "use super::lower::Item;",
        "fn f() { crate::lower::Item::new() }",
        "fn f() -> super::lower::Item { todo() }",
        "fn f() { use crate::lower::Item; }",
        "mod inner { use super::super::lower::Item; }",
        "use crate::Item;",
        "use crate::Given;",
        "fn f() { crate::Item }",
        "use crate::folder::Item;",
        "use crate::folder as other; fn f() { other::Item }",
        "pub(crate) use crate::lower::Item; fn f(item: Item) {}",
        "macro_rules! m { () => { $crate::lower::Item } }",
        "impl crate::lower::Item {}",
        "fn f() -> impl Sized + use<> { { { 1 } } } use crate::lower::Item;",
        "#[cfg(not(test))] use crate::lower::Item;",
        "#[cfg(all(feature = \"a\", not(all(test, loom))))] use crate::lower::Item;",
    ] {
        let graph = graph(&[
            ("lib.rs", "mod upper; mod lower; mod folder; pub use lower::Item; pub use folder::*;"),
            ("lower.rs", "pub struct Item; pub struct Given;"),
            ("folder/mod.rs", "pub use crate::lower::{Given, Item};"),
            ("upper.rs", text),
        ]);
        assert!(graph.uses("src/upper.rs", "src/lower.rs"), "{text}");
    }
}

#[test]
fn what_is_no_use_is_not_taken_for_one() {
    for text in [
        "// use crate::lower::Item;",
        "/* crate::lower::Item /* inner */ crate::lower::Item */",
        "/// [`Item`](crate::lower::Item)\nfn f() {}",
        "fn f() { let text = \"crate::lower::Item\"; let raw = r#\"\" crate::lower::Item\"#; let c = '\"'; }",
        "#[cfg(test)] use crate::lower::Item;",
        "#[cfg(test)] mod tests { use crate::lower::Item; }",
        "#[cfg(all(feature = \"a\", test))] mod tests { use crate::lower::Item; }",
        "pub(crate) use crate::lower::Item;",
        "use ::lower::Item;",
        "use std::lower::Item;",
        "struct Item; fn f(item: Item) { item.lower() }",
        "fn f<'lower>(item: &'lower str) {}",
    ] {
        let graph = graph(&[
            ("lib.rs", "mod upper; mod lower; pub use lower::Item;"),
            ("lower.rs", "pub struct Item;"),
            ("upper.rs", text),
        ]);
        assert_eq!(graph.edges().count(), 0, "{text}");
    }
}

/// The file of a module that is declared for tests is left out.
#[test]
fn files_for_tests_do_not_count() {
    let graph = graph(&[
        ("lib.rs", "mod upper; mod lower;"),
        ("lower.rs", "pub struct Item;\n#[cfg(test)]\nmod tests;\n#[cfg(all(test, loom))]\nmod models;"),
        ("lower/tests.rs", "use crate::upper::Item;"),
        ("lower/models/mod.rs", "use crate::upper::Item;"),
        ("upper.rs", "pub struct Item;"),
    ]);
    assert_eq!(graph.edges().count(), 0);
}

/// Two parts of `src` that use each other, each through the crate's re-exports.
#[test]
fn a_circle_between_rooms_is_found() {
    let tree = |lower: &'static str| {
        graph(&[
            ("lib.rs", "mod upper; mod lower; pub use lower::Item; pub use upper::Guard;"),
            ("lower/mod.rs", "mod item; pub use item::Item;"),
            ("lower/item.rs", lower),
            ("upper.rs", "use crate::Item; pub struct Guard(Item);"),
        ])
    };
    let floors: &[&[&str]] = &[&["upper"], &["lower"]];
    let good = tree("pub struct Item;");
    assert!(broken_rules(&good, &[]).is_empty() && broken_floors(&good, floors).is_empty());
    let circle = tree("pub struct Item; impl Item { fn guard(self) -> crate::Guard { todo!() } }");
    assert_eq!(broken_rules(&circle, &[]), ["a circle between folders, in src: lower -> upper, upper -> lower"]);
    assert_eq!(broken_floors(&circle, floors), ["src/lower/item.rs uses src/upper.rs, which does not stand below it"]);
    assert_eq!(broken_floors(&good, &[&["upper"]]), ["lower stands on no floor"]);
}

/// A folder inside a part of `src`, and a file beside that folder.
#[test]
fn a_circle_through_a_folder_of_a_room_is_found() {
    let graph = graph(&[
        ("lib.rs", "mod room;"),
        ("room/mod.rs", "mod inner; mod beside;"),
        ("room/inner/mod.rs", "mod deep; pub(super) use deep::Deep;"),
        ("room/inner/deep.rs", "pub(crate) struct Deep; use crate::room::beside::Beside;"),
        ("room/beside.rs", "use super::inner::Deep; pub(super) struct Beside;"),
    ]);
    let found = "a circle between folders, in src/room: beside -> inner, inner -> beside";
    assert_eq!(broken_rules(&graph, &[]), [found]);
    let known = Known { folder: "src/room", members: &["beside", "inner", "other"] };
    assert!(broken_rules(&graph, &[known]).is_empty());
    let too_small = Known { folder: "src/room", members: &["beside"] };
    let broken = broken_rules(&graph, &[too_small]);
    assert_eq!(broken.len(), 2, "the circle, and the known one that is gone: {broken:?}");
}

/// Three files of a folder may form a circle, and four may not.
#[test]
fn a_circle_of_four_files_is_found() {
    let round = |files: usize| {
        let names = ["a", "b", "c", "d"];
        let texts: Vec<_> = (0..files)
            .map(|at| {
                (
                    format!("room/{}.rs", names[at]),
                    format!("use super::{}::Item as Next; pub struct Item(Next);", names[(at + 1) % files]),
                )
            })
            .collect();
        let mut tree = vec![("lib.rs", "mod room;"), ("room/mod.rs", "mod a; mod b; mod c; mod d;")];
        tree.extend(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        broken_rules(&graph(&tree), &[])
    };
    assert!(round(3).is_empty());
    assert_eq!(round(4), ["a circle of more than 3 files, in src/room: a -> b, b -> c, c -> d, d -> a"]);
}
