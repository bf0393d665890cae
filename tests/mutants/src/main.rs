//! Writes every mutant of `src/sync/` into one copy of the sources: `schemata COPY DROPPED`.
//!
//! Each becomes `if crate::mutant::is(17) { mutated } else { original }`, so that one build holds all of them and a
//! variable of the environment picks one. Nothing is printed anew: text is only inserted, and what stands between
//! stays as it was written. COPY holds the tree and is changed in place; DROPPED lists, a line each, the numbers of
//! mutants that do not compile. `COPY/mutants.tsv` then has every mutant, and where in the changed files it stands.
//!
//! Left alone: inline tests, constants and everything else that is computed at compile time, patterns, macros (most
//! of them write to the log), and conditions that only decide whether something is logged.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::path::PathBuf;

use syn::BinOp;
use syn::Expr;
use syn::ReturnType;
use syn::Stmt;
use syn::Type;
use syn::UnOp;
use syn::spanned::Spanned;
use syn::visit;
use syn::visit::Visit;

/// A piece of text that goes into a file.
struct Insertion {
    at: usize,
    text: String,
    mutant: u32,
    opens: bool,
}

/// One mutant, as it is told of.
struct Mutant {
    id: u32,
    line: usize,
    column: usize,
    within: String,
    what: String,
}

struct Mutator<'a> {
    source: &'a str,
    next: &'a mut u32,
    dropped: &'a HashSet<u32>,
    within: Vec<String>,
    mutants: Vec<Mutant>,
    insertions: Vec<Insertion>,
}

impl Mutator<'_> {
    fn text(&self, node: &impl Spanned) -> &str {
        &self.source[node.span().byte_range()]
    }

    /// A number for a new mutant; none when it does not compile.
    fn mutant(&mut self, at: &impl Spanned, what: String) -> Option<u32> {
        let id = *self.next;
        *self.next += 1;
        let start = at.span().start();
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
        self.mutants.push(Mutant {
            id,
            line: start.line,
            column: start.column + 1,
            within: self.within.join("::"),
            what,
        });
        (!self.dropped.contains(&id)).then_some(id)
    }

    fn insert(&mut self, mutant: u32, range: Range<usize>, before: String, after: &str) {
        self.insertions.push(Insertion { at: range.start, text: before, mutant, opens: true });
        self.insertions.push(Insertion { at: range.end, text: after.to_owned(), mutant, opens: false });
    }

    /// An expression in the place of another.
    fn replace(&mut self, node: &Expr, with: &str) {
        let what = format!("{} -> {with}", self.text(node));
        if let Some(id) = self.mutant(node, what) {
            self.insert(id, node.span().byte_range(), format!("(if crate::mutant::is({id}) {{ {with} }} else {{ "), " })");
        }
    }

    /// A condition that always holds, and one that never does.
    fn condition(&mut self, node: &Expr, values: &[&str]) {
        for value in values {
            self.replace(node, value);
        }
    }

    /// The plain conditions of an `if` or `while`, which may stand between `let`s.
    fn conditions(&mut self, node: &Expr, values: &[&str]) {
        match node {
            Expr::Let(inner) => self.visit_expr(&inner.expr),
            Expr::Binary(both) if matches!(both.op, BinOp::And(_)) && has_let(node) => {
                self.conditions(&both.left, values);
                self.conditions(&both.right, values);
            }
            _ => {
                self.condition(node, values);
                self.visit_expr(node);
            }
        }
    }

    fn body(&mut self, signature: &syn::Signature, block: &syn::Block) {
        if signature.constness.is_some() {
            return;
        }
        self.within.push(signature.ident.to_string());
        if !block.stmts.is_empty() {
            let name = signature.ident.to_string();
            for value in values(&signature.output) {
                let what = format!("{name}: the body -> {}", if value.is_empty() { "()" } else { &value });
                if let Some(id) = self.mutant(&signature.ident, what) {
                    let at = block.brace_token.span.open().byte_range().end;
                    let text = format!(" if crate::mutant::is({id}) {{ return {value}; }} ");
                    self.insertions.push(Insertion { at, text, mutant: id, opens: true });
                }
            }
        }
        self.visit_block(block);
        self.within.pop();
    }
}

fn has_let(node: &Expr) -> bool {
    match node {
        Expr::Let(_) => true,
        Expr::Binary(both) if matches!(both.op, BinOp::And(_)) => has_let(&both.left) || has_let(&both.right),
        _ => false,
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test"))
    })
}

/// Whether a block does nothing but write to the log.
fn only_logs(block: &syn::Block) -> bool {
    let logs = |of: &syn::Macro| of.path.segments.first().is_some_and(|first| first.ident == "tracing");
    !block.stmts.is_empty()
        && block.stmts.iter().all(|statement| match statement {
            Stmt::Macro(one) => logs(&one.mac),
            Stmt::Expr(Expr::Macro(one), _) => logs(&one.mac),
            _ => false,
        })
}

/// The same of everything that may come instead.
fn else_only_logs(branch: Option<&Expr>) -> bool {
    match branch {
        None => true,
        Some(Expr::Block(block)) => only_logs(&block.block),
        Some(_) => false,
    }
}

/// What a function could answer instead of what it finds out.
fn values(output: &ReturnType) -> Vec<String> {
    match output {
        ReturnType::Default => vec![String::new()],
        ReturnType::Type(_, of) => values_of(of),
    }
}

fn values_of(of: &Type) -> Vec<String> {
    let some = |list: &[&str]| list.iter().map(|&value| value.to_owned()).collect();
    match of {
        Type::Tuple(tuple) if tuple.elems.is_empty() => some(&["()"]),
        Type::Reference(reference) => match &*reference.elem {
            Type::Path(path) if path.path.is_ident("str") => some(&["\"\"", "\"xyzzy\""]),
            _ => Vec::new(),
        },
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else { return Vec::new() };
            let name = last.ident.to_string();
            let inner = || match &last.arguments {
                syn::PathArguments::AngleBracketed(list) => list.args.iter().find_map(|argument| match argument {
                    syn::GenericArgument::Type(of) => Some(of),
                    _ => None,
                }),
                _ => None,
            };
            match name.as_str() {
                "bool" => some(&["true", "false"]),
                "u8" | "u16" | "u32" | "u64" | "usize" | "i32" | "i64" => some(&["0", "1"]),
                "f32" | "f64" => some(&["0.0", "1.0"]),
                "String" => some(&["String::new()", "\"xyzzy\".to_owned()"]),
                "Vec" => some(&["Vec::new()"]),
                "Option" => {
                    let mut all = some(&["None"]);
                    all.extend(inner().map(values_of).unwrap_or_default().into_iter().map(|v| format!("Some({v})")));
                    all
                }
                _ if name.ends_with("Result") => {
                    inner().map(values_of).unwrap_or_default().into_iter().map(|v| format!("Ok({v})")).collect()
                }
                _ => some(&["Default::default()"]),
            }
        }
        Type::Tuple(_) => some(&["Default::default()"]),
        _ => Vec::new(),
    }
}

/// What stands in for an operator.
fn others(op: &BinOp) -> &'static [&'static str] {
    match op {
        BinOp::Eq(_) => &["!="],
        BinOp::Ne(_) => &["=="],
        BinOp::Lt(_) => &["<=", ">="],
        BinOp::Le(_) => &["<", ">"],
        BinOp::Gt(_) => &[">=", "<="],
        BinOp::Ge(_) => &[">", "<"],
        BinOp::And(_) => &["||"],
        BinOp::Or(_) => &["&&"],
        BinOp::Add(_) => &["-", "*"],
        BinOp::Sub(_) => &["+", "/"],
        BinOp::Mul(_) => &["+", "/"],
        BinOp::Div(_) => &["*", "%"],
        BinOp::Rem(_) => &["/", "+"],
        BinOp::BitOr(_) => &["&", "^"],
        BinOp::BitAnd(_) => &["|", "^"],
        BinOp::AddAssign(_) => &["-=", "*="],
        BinOp::SubAssign(_) => &["+=", "/="],
        BinOp::MulAssign(_) => &["+=", "/="],
        BinOp::DivAssign(_) => &["*=", "%="],
        BinOp::BitOrAssign(_) => &["&=", "^="],
        BinOp::BitAndAssign(_) => &["|=", "^="],
        _ => &[],
    }
}

/// A statement that is left out without a hole: a call, an assignment.
fn can_go(node: &Expr) -> bool {
    match node {
        Expr::Await(inner) => can_go(&inner.base),
        Expr::Try(inner) => can_go(&inner.expr),
        Expr::MethodCall(_) | Expr::Call(_) | Expr::Assign(_) => true,
        Expr::Binary(both) => others(&both.op).iter().any(|op| op.ends_with('=') && op.len() == 2 && *op != "=="),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Mutator<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_item_struct(&mut self, _: &'ast syn::ItemStruct) {}
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_macro(&mut self, _: &'ast syn::Macro) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}

    fn visit_expr_repeat(&mut self, node: &'ast syn::ExprRepeat) {
        self.visit_expr(&node.expr);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let name = self.text(&*item.self_ty).to_owned();
        self.within.push(name);
        visit::visit_item_impl(self, item);
        self.within.pop();
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            self.body(&item.sig, &item.block);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.body(&item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.body(&item.sig, block);
        }
    }

    fn visit_stmt(&mut self, node: &'ast Stmt) {
        if let Stmt::Expr(inner, Some(_)) = node
            && can_go(inner)
        {
            let what = format!("{} -> (left out)", self.text(node));
            if let Some(id) = self.mutant(node, what) {
                self.insert(id, node.span().byte_range(), format!("if !crate::mutant::is({id}) {{ "), " }");
            }
        }
        visit::visit_stmt(self, node);
    }

    fn visit_expr_if(&mut self, node: &'ast syn::ExprIf) {
        if only_logs(&node.then_branch) && else_only_logs(node.else_branch.as_ref().map(|(_, other)| &**other)) {
            if let Expr::Let(inner) = &*node.cond {
                self.visit_expr(&inner.expr);
            }
            return;
        }
        self.conditions(&node.cond, &["true", "false"]);
        self.visit_block(&node.then_branch);
        if let Some((_, other)) = &node.else_branch {
            self.visit_expr(other);
        }
    }

    fn visit_expr_while(&mut self, node: &'ast syn::ExprWhile) {
        self.conditions(&node.cond, &["false"]);
        self.visit_block(&node.body);
    }

    fn visit_expr_match(&mut self, node: &'ast syn::ExprMatch) {
        self.visit_expr(&node.expr);
        let rest = node.arms.last().is_some_and(|arm| arm.guard.is_none() && matches!(arm.pat, syn::Pat::Wild(_)));
        let last = node.arms.len() - 1;
        for (number, arm) in node.arms.iter().enumerate() {
            match &arm.guard {
                Some((_, guard)) => self.conditions(guard, &["true", "false"]),
                None if rest && number != last => {
                    let what = format!("the arm {} -> (left out)", self.text(&arm.pat));
                    if let Some(id) = self.mutant(arm, what) {
                        let end = arm.pat.span().byte_range().end;
                        self.insert(id, end..end, format!(" if !crate::mutant::is({id}) "), "");
                    }
                }
                None => {}
            }
            self.visit_expr(&arm.body);
        }
    }

    fn visit_expr_binary(&mut self, node: &'ast syn::ExprBinary) {
        let (left, right) = (self.text(&*node.left).to_owned(), self.text(&*node.right).to_owned());
        for other in others(&node.op) {
            let op = self.text(&node.op).to_owned();
            if let Some(id) = self.mutant(&node.op, format!("{op} -> {other} in {left} {op} {right}")) {
                let before = format!("(if crate::mutant::is({id}) {{ {left} {other} {right} }} else {{ ");
                self.insert(id, node.span().byte_range(), before, " })");
            }
        }
        visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast syn::ExprUnary) {
        if let UnOp::Not(_) | UnOp::Neg(_) = node.op {
            let inner = self.text(&*node.expr).to_owned();
            let whole = Expr::Unary(node.clone());
            self.replace(&whole, &inner);
        }
        visit::visit_expr_unary(self, node);
    }

    fn visit_expr_lit(&mut self, node: &'ast syn::ExprLit) {
        let whole = Expr::Lit(node.clone());
        match &node.lit {
            syn::Lit::Bool(value) => self.replace(&whole, if value.value { "false" } else { "true" }),
            syn::Lit::Int(value) => {
                if let Ok(number) = value.base10_parse::<u64>() {
                    self.replace(&whole, &format!("{}{}", number + 1, value.suffix()));
                }
            }
            _ => {}
        }
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && path.file_stem().is_some_and(|stem| stem != "tests") {
            found.push(path);
        }
    }
}

/// Puts the insertions into a file, and adds where each mutant came to stand.
fn write(path: &Path, name: &str, source: &str, mutator: &mut Mutator<'_>, list: &mut String) {
    // At one place: what ends there ends first, and the inner before the outer; the outer begins before the inner.
    let mut order: Vec<usize> = (0..mutator.insertions.len()).collect();
    order.sort_by_key(|&number| {
        let one = &mutator.insertions[number];
        let number = i64::try_from(number).expect("few insertions");
        (one.at, one.opens, if one.opens { number } else { -number })
    });
    let (mut out, mut from) = (String::new(), 0);
    let mut places = std::collections::HashMap::new();
    for number in order {
        let one = &mutator.insertions[number];
        out.push_str(&source[from..one.at]);
        from = one.at;
        let begin = out.len();
        out.push_str(&one.text);
        let place = places.entry(one.mutant).or_insert((begin, out.len(), out.len()));
        place.2 = out.len();
    }
    out.push_str(&source[from..]);
    for one in mutator.mutants.drain(..) {
        let (begin, opened, end) = places.get(&one.id).copied().unwrap_or_default();
        let Mutant { id, line, column, within, what } = one;
        writeln!(list, "{id}\t{name}\t{line}\t{column}\t{within}\t{what}\t{begin}\t{opened}\t{end}").expect("a string");
    }
    fs::write(path, out).expect("the file is written");
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let root = PathBuf::from(arguments.next().expect("the copy"));
    let dropped = fs::read_to_string(arguments.next().expect("the dropped ones")).expect("the dropped ones are read");
    let dropped: HashSet<u32> = dropped.lines().map(|line| line.parse().expect("a number")).collect();
    let mut files = Vec::new();
    sources(&root.join("src/sync"), &mut files);
    files.sort();
    let (mut next, mut list) = (1, String::new());
    for path in files {
        let source = fs::read_to_string(&path).expect("a source");
        let parsed = syn::parse_file(&source).expect("Rust");
        let name = path.strip_prefix(&root).expect("below the copy").display().to_string();
        let mut mutator = Mutator {
            source: &source,
            next: &mut next,
            dropped: &dropped,
            within: Vec::new(),
            mutants: Vec::new(),
            insertions: Vec::new(),
        };
        mutator.visit_file(&parsed);
        write(&path, &name, &source, &mut mutator, &mut list);
    }
    fs::write(root.join("mutants.tsv"), list).expect("the list is written");
    fs::write(root.join("src/mutant.rs"), include_str!("mutant.rs")).expect("the module is written");
    let lib = root.join("src/lib.rs");
    let text = fs::read_to_string(&lib).expect("lib.rs");
    fs::write(&lib, text + "\n#[doc(hidden)]\npub mod mutant;\n").expect("lib.rs is written");
}
