//! Relations as they stand in a statement, with regard to the names WITH gives.

use std::{collections::HashSet, ops::ControlFlow};

use datafusion::sql::{
    parser::Statement as DfStatement,
    sqlparser::ast::{
        Ident, ObjectName, Query, Select, SetExpr, TableFactor, TableVersion, Visit, VisitMut, Visitor, VisitorMut,
    },
};

use super::folded;

/// The SELECTs of a query's body, in order. Nested queries are visited by themselves.
pub(super) fn selects(body: &mut SetExpr) -> Vec<&mut Select> {
    match body {
        SetExpr::Select(select) => vec![&mut **select],
        SetExpr::SetOperation { left, right, .. } => {
            let mut all = selects(left);
            all.extend(selects(right));
            all
        }
        _ => Vec::new(),
    }
}

/// A relation in FROM, as written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) name: Vec<Ident>,
    pub(crate) version: Option<TableVersion>,
}

impl Written {
    /// The same for the same text.
    pub(super) fn key(&self) -> String {
        key(&self.name, self.version.as_ref())
    }

    /// `FROM 'path/file.parquet'`
    pub(super) fn file(&self) -> Option<&str> {
        match self.name.as_slice() {
            [only] if only.quote_style == Some('\'') => Some(&only.value),
            _ => None,
        }
    }
}

fn key(name: &[Ident], version: Option<&TableVersion>) -> String {
    use std::fmt::Write as _;
    let mut key = String::new();
    for part in name {
        let _ = write!(key, "{part}.");
    }
    if let Some(version) = version {
        let _ = write!(key, "@{version}");
    }
    key
}

/// The parts of a name, if all of them are plain.
pub(super) fn parts(name: &ObjectName) -> Option<Vec<Ident>> {
    name.0.iter().map(|part| part.as_ident().cloned()).collect()
}

/// Names WITH gives, innermost query last.
#[derive(Default)]
pub(super) struct Ctes(Vec<HashSet<String>>);

impl Ctes {
    pub(super) fn enter(&mut self, query: &Query) {
        let names = query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| folded(&cte.alias.name)).collect();
        self.0.push(names);
    }

    pub(super) fn leave(&mut self) {
        self.0.pop();
    }

    pub(super) fn hides(&self, name: &[Ident]) -> bool {
        match name {
            [only] => {
                let name = folded(only);
                self.0.iter().any(|names| names.contains(&name))
            }
            _ => false,
        }
    }

    /// The relation `factor` names, unless it is a function or a name of WITH.
    pub(super) fn relation(&self, factor: &TableFactor) -> Option<Written> {
        let TableFactor::Table { name, args: None, version, .. } = factor else { return None };
        let name = parts(name)?;
        if version.is_none() && self.hides(&name) {
            return None;
        }
        Some(Written { name, version: version.clone() })
    }
}

/// Every relation the statement reads, each once.
pub(super) fn relations(statement: &DfStatement) -> Vec<Written> {
    struct Collect {
        ctes: Ctes,
        seen: HashSet<String>,
        found: Vec<Written>,
    }
    impl Visitor for Collect {
        type Break = ();

        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            self.ctes.enter(query);
            ControlFlow::Continue(())
        }

        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.ctes.leave();
            ControlFlow::Continue(())
        }

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let Some(written) = self.ctes.relation(factor)
                && self.seen.insert(written.key())
            {
                self.found.push(written);
            }
            ControlFlow::Continue(())
        }
    }
    let mut collect = Collect { ctes: Ctes::default(), seen: HashSet::new(), found: Vec::new() };
    let mut statement = statement;
    loop {
        match statement {
            DfStatement::Statement(statement) => {
                let _ = statement.visit(&mut collect);
                break;
            }
            DfStatement::Explain(explain) => statement = &explain.statement,
            DfStatement::CreateExternalTable(_) | DfStatement::CopyTo(_) | DfStatement::Reset(_) => break,
        }
    }
    collect.found
}

/// Runs `visitor` over the SQL inside `statement`.
pub(super) fn visit<V: VisitorMut>(statement: &mut DfStatement, visitor: &mut V) -> ControlFlow<V::Break> {
    match statement {
        DfStatement::Statement(statement) => VisitMut::visit(statement.as_mut(), visitor),
        DfStatement::Explain(explain) => visit(&mut explain.statement, visitor),
        DfStatement::CreateExternalTable(_) | DfStatement::CopyTo(_) | DfStatement::Reset(_) => {
            ControlFlow::Continue(())
        }
    }
}
