//! The modules of a crate, what each refers to, and the file in which that is defined.

use crate::source::{Token, tokens};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Names from the crate's root down.
type Names = Vec<String>;

/// How many re-exports a path may pass; more of them are a loop of globs.
const REEXPORTS_MAX: usize = 16;

/// The modules of a crate by their paths; each is a file.
pub struct Crate {
    modules: BTreeMap<Names, Module>,
}

struct Module {
    file: PathBuf,
    children: BTreeSet<String>,
    /// What `use` brings in, by the name that it has here.
    uses: BTreeMap<String, Names>,
    globs: Vec<Names>,
    /// What is defined here.
    items: BTreeSet<String>,
    mentions: Vec<Mention>,
}

/// A path in the text of a module.
struct Mention {
    path: Names,
    line: usize,
    glob: bool,
}

/// A file refers to an item that another file defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    pub from: PathBuf,
    pub to: PathBuf,
    pub line: usize,
    pub path: String,
}

enum Target {
    /// A module as such, and no item in it.
    Module(Names),
    /// An item, by the module that defines it.
    Item(Names),
    Outside,
}

impl Crate {
    /// Reads the files that the crate at a source folder consists of, without those that only tests compile.
    pub fn read(folder: &Path) -> Crate {
        let root = ["lib.rs", "main.rs"].map(|name| folder.join(name)).into_iter().find(|path| path.exists());
        let root = root.unwrap_or_else(|| panic!("{} has neither lib.rs nor main.rs", folder.display()));
        let mut modules = BTreeMap::new();
        let mut waiting = vec![(Names::new(), root, folder.to_owned())];
        while let Some((path, file, below)) = waiting.pop() {
            let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let module = Parser::new(&path, tokens(&text)).parse(&file);
            for child in &module.children {
                let nested = below.join(child).join("mod.rs");
                let file = if nested.exists() { nested } else { below.join(format!("{child}.rs")) };
                waiting.push((joined(&path, std::slice::from_ref(child)), file, below.join(child)));
            }
            modules.insert(path, module);
        }
        Crate { modules }
    }

    /// Every reference from one file of the crate to another, in order.
    pub fn references(&self) -> Vec<Reference> {
        let mut references = BTreeSet::new();
        for module in self.modules.values() {
            for mention in &module.mentions {
                let defined = match self.resolve(&mention.path, REEXPORTS_MAX) {
                    Target::Item(defined) => defined,
                    // Whoever imports a module as such refers to what is used of it, and a glob uses all of it.
                    Target::Module(defined) if mention.glob => defined,
                    Target::Module(_) | Target::Outside => continue,
                };
                let to = &self.modules[&defined].file;
                if *to != module.file {
                    references.insert(Reference {
                        from: module.file.clone(),
                        to: to.clone(),
                        line: mention.line,
                        path: mention.path.join("::"),
                    });
                }
            }
        }
        references.into_iter().collect()
    }

    /// Follows a path from the root through modules and re-exports.
    fn resolve(&self, path: &[String], reexports: usize) -> Target {
        let mut at = Names::new();
        for (place, name) in path.iter().enumerate() {
            let (module, rest) = (&self.modules[&at], &path[place + 1..]);
            let used = module.uses.get(name).filter(|target| **target != path);
            let is_item = module.items.contains(name);
            // A function may be named as a module is: then only a path that goes on means the module.
            if module.children.contains(name) && (!rest.is_empty() || used.is_none() && !is_item) {
                at.push(name.clone());
                continue;
            }
            if is_item && (rest.is_empty() || used.is_none()) {
                return Target::Item(at);
            }
            if reexports == 0 {
                return Target::Outside;
            }
            if let Some(target) = used {
                return self.resolve(&joined(target, rest), reexports - 1);
            }
            return self.resolve_by_globs(&module.globs, &path[place..], reexports - 1);
        }
        Target::Module(at)
    }

    fn resolve_by_globs(&self, globs: &[Names], path: &[String], reexports: usize) -> Target {
        let found = globs.iter().map(|glob| match self.resolve(glob, reexports) {
            Target::Module(module) => self.resolve(&joined(&module, path), reexports),
            Target::Item(_) | Target::Outside => Target::Outside,
        });
        found.into_iter().find(|target| !matches!(target, Target::Outside)).unwrap_or(Target::Outside)
    }
}

fn joined(path: &[String], rest: &[String]) -> Names {
    path.iter().chain(rest).cloned().collect()
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// The module that the tokens stand in; grows by the modules that the file itself opens.
    path: Names,
    /// How many braces are open, and at which depth each module of the file itself was opened.
    depth: usize,
    opened: Vec<usize>,
    module: Module,
}

impl Parser {
    fn new(path: &[String], tokens: Vec<Token>) -> Parser {
        let module = Module {
            file: PathBuf::new(),
            children: BTreeSet::new(),
            uses: BTreeMap::new(),
            globs: Vec::new(),
            items: BTreeSet::new(),
            mentions: Vec::new(),
        };
        Parser { tokens, at: 0, path: path.to_owned(), depth: 0, opened: Vec::new(), module }
    }

    fn parse(mut self, file: &Path) -> Module {
        while self.at < self.tokens.len() {
            self.step();
        }
        file.clone_into(&mut self.module.file);
        self.module
    }

    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text.as_str())
    }

    fn step(&mut self) {
        let next_is_name = self.tokens.get(self.at + 1).is_some_and(Token::is_name);
        match self.text(0) {
            "use" if self.text(1) != "<" => {
                self.at += 1;
                self.use_tree(&[]);
            }
            "mod" if next_is_name => self.declared_module(),
            "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union" if next_is_name => {
                let name = if ["mut", "unsafe"].contains(&self.text(1)) { 2 } else { 1 };
                self.module.items.insert(self.text(name).to_owned());
                self.at += 1;
            }
            "{" => {
                self.depth += 1;
                self.at += 1;
            }
            "}" => {
                self.depth = self.depth.saturating_sub(1);
                if self.opened.last() == Some(&self.depth) {
                    self.opened.pop();
                    self.path.pop();
                }
                self.at += 1;
            }
            _ => self.path_or_sign(),
        }
    }

    /// `mod x;` is a file, and `mod x {` goes on in this one.
    fn declared_module(&mut self) {
        let name = self.text(1).to_owned();
        if self.text(2) == "{" {
            self.module.items.insert(name.clone());
            self.opened.push(self.depth);
            self.path.push(name);
            self.depth += 1;
        } else {
            self.module.children.insert(name);
        }
        self.at += 3;
    }

    fn path_or_sign(&mut self) {
        let follows = self.at > 0 && self.tokens[self.at - 1].is("::");
        let begins = self.tokens[self.at].is_name() && self.text(1) == "::" && !follows;
        let line = self.tokens[self.at].line;
        if !begins {
            self.at += 1;
            return;
        }
        let mut path = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.text(0) == "::" && self.tokens.get(self.at + 1).is_some_and(Token::is_name) {
            path.push(self.text(1).to_owned());
            self.at += 2;
        }
        let path = self.absolute(&path);
        self.module.mentions.push(Mention { path, line, glob: false });
    }

    /// One tree of a `use`: a path that ends in a name, in `*`, or in braces with trees of their own.
    fn use_tree(&mut self, prefix: &[String]) {
        let mut path = prefix.to_owned();
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => return self.use_trees(&path),
                "*" => {
                    let (path, line) = (self.absolute(&path), self.tokens[self.at].line);
                    self.module.globs.push(path.clone());
                    self.module.mentions.push(Mention { path, line, glob: true });
                    self.at += 1;
                    return;
                }
                _ if self.tokens.get(self.at).is_some_and(Token::is_name) && !self.tokens[self.at].is("as") => {
                    path.push(self.text(0).to_owned());
                    self.at += 1;
                }
                _ => return self.used(path),
            }
        }
    }

    fn use_trees(&mut self, prefix: &[String]) {
        self.at += 1;
        while !["}", ""].contains(&self.text(0)) {
            self.use_tree(prefix);
            if self.text(0) == "," {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    fn used(&mut self, mut path: Names) {
        if path.len() > 1 {
            path.pop_if(|last| last == "self");
        }
        let Some(mut name) = path.last().cloned() else { return };
        if self.text(0) == "as" {
            name = self.text(1).to_owned();
            self.at += 2;
        }
        let line = self.tokens[self.at - 1].line;
        let path = self.absolute(&path);
        self.module.uses.insert(name, path.clone());
        self.module.mentions.push(Mention { path, line, glob: false });
    }

    /// A path as it is from the crate's root.
    fn absolute(&self, path: &[String]) -> Names {
        let mut from = self.path.clone();
        let mut rest = path;
        while let Some((first, others)) = rest.split_first() {
            match first.as_str() {
                "crate" => from.clear(),
                "self" => {}
                "super" => drop(from.pop()),
                _ => break,
            }
            rest = others;
        }
        joined(&from, rest)
    }
}
