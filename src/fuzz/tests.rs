//! Every target over its corpus, and over random and mutated inputs, the same in each run.
//!
//! `ORCHESTRIX_FUZZ_INPUTS` says how many random and mutated inputs each target gets; 5 000 otherwise.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::panic::catch_unwind;
use std::path::Path;

use super::TARGETS;
use crate::evidence::evidence;

/// Numbers that look random (`SplitMix64`, Steele, Lea and Flood, 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        // Half of them are characters that have a meaning in the parsed texts.
        let special = b"\0:\\/@?#%=&,;$ {}[]-.0123456789abcdefHMSmun\r\n\xff\xc3";
        if self.below(2) == 0 { special[self.below(special.len())] } else { self.below(256).to_le_bytes()[0] }
    }

    fn random(&mut self) -> Vec<u8> {
        let length = if self.below(50) == 0 { self.below(1_000) } else { self.below(40) };
        (0..length).map(|_| self.byte()).collect()
    }

    /// A seed with up to eight changes, each of which may bring in a piece of another seed.
    fn mutated(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(8) {
            let at = self.below(input.len() + 1);
            let until = (at + self.below(9)).min(input.len());
            match self.below(5) {
                0 => input.insert(at, self.byte()),
                1 => _ = input.drain(at..until),
                2 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = self.byte()),
                3 => {
                    let piece = input[at..until].to_vec();
                    for _ in 0..=self.below(20) {
                        input.splice(at..at, piece.iter().copied());
                    }
                }
                _ => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len() + 1);
                    let piece = &other[from..(from + self.below(30)).min(other.len())];
                    input.splice(at..until, piece.iter().copied());
                }
            }
        }
        input.truncate(4_096);
        input
    }
}

/// The kept inputs of a target: some reach deep into its code, and some have failed once.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    // A line of a text file is an input, too: most are texts.
    let mut inputs = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "lines") {
            inputs.extend(bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        }
        inputs.push(bytes);
    }
    inputs
}

#[test]
fn fuzzed_functions_hold_for_the_corpus_and_for_random_inputs() {
    let random = std::env::var("ORCHESTRIX_FUZZ_INPUTS").map_or(5_000, |given| given.parse::<usize>().unwrap());
    let mut figures = serde_json::Map::new();
    for (name, target) in TARGETS {
        let seeds = corpus(name);
        assert!(!seeds.is_empty(), "{name} has no corpus");
        let mut dice = Dice(0x0BAD_5EED);
        let generated = (0..random).map(|at| if at % 4 == 0 { dice.random() } else { dice.mutated(&seeds) });
        let mut inputs = 0_usize;
        for input in seeds.iter().cloned().chain(generated) {
            let holds = catch_unwind(|| target(&input)).is_ok();
            assert!(holds, "{name} fails for {:?}", String::from_utf8_lossy(&input));
            inputs += 1;
        }
        println!("{name}: {inputs} inputs, {} of them kept", seeds.len());
        figures.insert(name.to_owned(), inputs.into());
    }
    evidence("fuzz", &figures.into());
}
