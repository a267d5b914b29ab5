//! What the sources of a crate import from each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use syn::{
    Attribute, Block, File, ImplItemFn, Item, ItemFn, ItemMod, ItemUse, UseTree, Visibility,
    visit::{self, Visit},
};

/// The place of a file among the modules of its crate: `["feed", "hub"]` for `feed/hub.rs`, nothing for the root.
type Module = Vec<String>;

/// The files of a crate, those of its tests left out.
pub(crate) struct Crate {
    files: BTreeMap<Module, Source>,
}

struct Source {
    text: String,
    lines: usize,
    /// Paths that begin with `crate`, `self` or `super`.
    paths: BTreeSet<Vec<String>>,
    /// Those that are imported under a name for others.
    exports: BTreeMap<String, Vec<String>>,
    /// Names of functions and how many lines they have.
    functions: Vec<(String, usize)>,
}

impl Crate {
    /// Reads all files below a folder.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        read_below(folder, &[], &mut files);
        Self { files }
    }

    /// Lengths of its files in lines.
    pub(crate) fn file_lengths(&self) -> impl Iterator<Item = usize> {
        self.files.values().map(|file| file.lines)
    }

    /// Whether any file has that word.
    pub(crate) fn mentions(&self, word: &str) -> bool {
        self.files.values().any(|file| file.text.contains(word))
    }

    /// Its functions, with their lengths in lines.
    pub(crate) fn functions(&self) -> impl Iterator<Item = (String, usize)> {
        let of_file = |(module, file): (&Module, &Source)| {
            let module = module.join("/");
            file.functions.iter().map(move |(name, lines)| (format!("{module}: {name}"), *lines)).collect::<Vec<_>>()
        };
        self.files.iter().flat_map(of_file)
    }

    /// Files that import each other, directly or through others: a list a circle.
    pub(crate) fn circles(&self) -> Vec<Vec<String>> {
        let arrows: BTreeMap<_, _> = self.files.keys().map(|module| (module, self.imported_by(module))).collect();
        let reached: BTreeMap<_, _> = arrows.keys().map(|module| (*module, reached_from(module, &arrows))).collect();
        let mut circles = BTreeSet::new();
        for (module, all) in &reached {
            let circle: Vec<_> = all.iter().filter(|other| reached[*other].contains(*module)).collect();
            if !circle.is_empty() {
                circles.insert(circle.into_iter().map(|module| module.join("/")).collect());
            }
        }
        circles.into_iter().collect()
    }

    /// Files from which a file has something. What the root only passes on is not the root's.
    fn imported_by(&self, module: &Module) -> BTreeSet<&Module> {
        let imported = self.files[module].paths.iter().filter_map(|path| self.owner(module, path, 0));
        imported.filter(|owner| *owner != module && !owner.is_empty() && !module.is_empty()).collect()
    }

    /// The file that a path leads to, past those that only pass it on.
    fn owner(&self, from: &Module, path: &[String], steps: usize) -> Option<&Module> {
        let mut full = Vec::new();
        for (at, part) in path.iter().enumerate() {
            match part.as_str() {
                "crate" => full.clear(),
                "self" if at == 0 => full.clone_from(from),
                "super" if at == 0 => full = from[..from.len().checked_sub(1)?].to_vec(),
                "super" => full.truncate(full.len().checked_sub(1)?),
                part => full.push(part.to_owned()),
            }
        }
        let known = (0..=full.len()).rev().find(|length| self.files.contains_key(&full[..*length]))?;
        let (module, file) = self.files.get_key_value(&full[..known])?;
        match full.get(known).and_then(|name| file.exports.get(name)) {
            // A circle of exports does not compile.
            Some(export) if steps < 16 => self.owner(module, export, steps + 1).or(Some(module)),
            _ => Some(module),
        }
    }
}

fn reached_from<'a>(module: &'a Module, arrows: &BTreeMap<&'a Module, BTreeSet<&'a Module>>) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![module];
    while let Some(module) = waiting.pop() {
        waiting.extend(arrows[module].iter().filter(|next| reached.insert(**next)));
    }
    reached
}

fn read_below(folder: &Path, module: &[String], files: &mut BTreeMap<Module, Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if stem == "tests" || stem == "testing" {
            continue;
        }
        let mut own = module.to_vec();
        if !["lib", "main"].contains(&stem.as_str()) {
            own.push(stem);
        }
        if path.is_dir() {
            read_below(&path, &own, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(own, Source::read(&path));
        }
    }
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let parsed: File = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (paths, exports) = Default::default();
        let lines = text.lines().count();
        let mut source = Self { text, lines, paths, exports, functions: Vec::new() };
        source.visit_file(&parsed);
        source
    }

    fn note_use(&mut self, tree: &UseTree, mut path: Vec<String>, is_public: bool) {
        match tree {
            UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.note_use(&part.tree, path, is_public);
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.note_use(item, path.clone(), is_public));
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                if name != "self" {
                    path.push(name);
                }
                self.note_imported(path.last().cloned(), path.clone(), is_public);
            }
            UseTree::Rename(rename) => {
                path.push(rename.ident.to_string());
                self.note_imported(Some(rename.rename.to_string()), path, is_public);
            }
            _ => self.note_imported(None, path, is_public),
        }
    }

    fn note_imported(&mut self, name: Option<String>, path: Vec<String>, is_public: bool) {
        // Modules of a file may be named without `self`.
        let is_own = path.first().is_some_and(|first| ["crate", "self", "super"].contains(&first.as_str()));
        let path = if is_own || !is_public { path } else { [vec!["self".to_owned()], path].concat() };
        if let Some(name) = name.filter(|_| is_public) {
            self.exports.insert(name, path.clone());
        }
        self.note_path(path);
    }

    fn note_path(&mut self, path: Vec<String>) {
        if path.first().is_some_and(|first| ["crate", "self", "super"].contains(&first.as_str())) {
            self.paths.insert(path);
        }
    }

    fn note_function(&mut self, name: &syn::Ident, body: &Block) {
        let braces = body.brace_token.span;
        self.functions.push((name.to_string(), braces.close().end().line - braces.open().start().line + 1));
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}

impl<'a> Visit<'a> for Source {
    fn visit_item(&mut self, item: &'a Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &Vec::new(),
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    /// A module within a file: its own paths are relative to itself and stay within the file.
    fn visit_item_mod(&mut self, _: &'a ItemMod) {}

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        self.note_use(&item.tree, Vec::new(), !matches!(item.vis, Visibility::Inherited));
    }

    /// Who may see an item is no import.
    fn visit_visibility(&mut self, _: &'a Visibility) {}

    fn visit_path(&mut self, path: &'a syn::Path) {
        self.note_path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_item_fn(&mut self, item: &'a ItemFn) {
        self.note_function(&item.sig.ident, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a ImplItemFn) {
        self.note_function(&item.sig.ident, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}
