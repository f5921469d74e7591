//! A plan: what a command is going to do, as a graph of operations; and the execution of every plan.
//!
//! An operation begins when all operations that it needs are done. [`Plan::print`] prints exactly the operations that an
//! [`Execution`] would begin. The execution owns their order, how many are under way at a time, the time-out, the
//! progress, and after a signal the undo; a runtime observes, plans, and carries out single operations.

mod deadline;
mod execution;

use std::fmt;

use serde::Serialize;

pub(crate) use self::{
    deadline::Deadline,
    execution::{Carrier, Execution, undo_after_signal},
};
use crate::{error::Result, output::Output};

/// The version of the shape that `--dry-run --json` prints.
const SCHEMA_VERSION: u32 = 1;

/// An operation. Its text is a line of `--dry-run`, with its cause: which field, which value before and after.
pub(crate) trait Operation: fmt::Display + Serialize {
    /// Returns whether it gets or makes something large, such as an image. That has all the time that it needs, unless
    /// the user sets a time-out.
    fn is_large(&self) -> bool {
        false
    }

    /// Returns whether it is one short request. If the command is interrupted, its answer is waited for: it may take effect
    /// whether it is heard or not, and the undo has to know.
    fn is_request(&self) -> bool {
        false
    }
}

/// The text of the operation that seeds an environment.
pub(crate) const SEED_IF_EMPTY: &str = "send recipes and stock, if there never was a menu";

/// Writes the text of the operation that places orders.
///
/// # Errors
/// Those of the formatter.
pub(crate) fn write_order(count: u32, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    match count {
        1 => formatter.write_str("place 1 order and follow it to the table"),
        count => write!(formatter, "place {count} orders and follow each to the table"),
    }
}

/// Refers to an operation of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(crate) struct NodeId(usize);

/// A graph of operations, without cycles: an operation can only need those that were added before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan<O> {
    nodes: Vec<Node<O>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node<O> {
    operation: O,
    needs: Vec<NodeId>,
}

impl<O> Default for Plan<O> {
    fn default() -> Self {
        Self { nodes: Vec::new() }
    }
}

impl<O> Plan<O> {
    /// Adds an operation that needs others.
    pub(crate) fn add(&mut self, operation: O, needs: impl IntoIterator<Item = NodeId>) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(Node { operation, needs: needs.into_iter().collect() });
        id
    }

    /// Adds an operation that needs all others of before.
    pub(crate) fn add_after_all(&mut self, operation: O) -> NodeId {
        self.add(operation, self.ids().collect::<Vec<_>>())
    }

    /// Returns the ids of all operations.
    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + use<O> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// Returns the operations, each after those that it needs.
    pub(crate) fn operations(&self) -> impl Iterator<Item = &O> {
        self.nodes.iter().map(|node| &node.operation)
    }

    /// Returns whether there is nothing to do.
    pub(crate) const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl<O: Operation> Plan<O> {
    /// Prints the operations: a line each, or as one JSON object.
    ///
    /// # Errors
    /// [`crate::error::CliError::OutputClosed`] if the reader has closed stdout.
    pub(crate) fn print(&self, as_json: bool, output: &Output) -> Result<()> {
        if !as_json {
            return self.operations().try_for_each(|operation| output.data(operation));
        }
        let operations = self.nodes.iter().enumerate().map(|(id, node)| PrintedNode {
            id,
            needs: &node.needs,
            text: node.operation.to_string(),
            operation: &node.operation,
        });
        output
            .json(&PrintedPlan { schema_version: SCHEMA_VERSION, operations: operations.collect() })
    }
}

#[derive(Serialize)]
struct PrintedPlan<'p, O> {
    schema_version: u32,
    operations: Vec<PrintedNode<'p, O>>,
}

#[derive(Serialize)]
struct PrintedNode<'p, O> {
    id: usize,
    needs: &'p [NodeId],
    text: String,
    #[serde(flatten)]
    operation: &'p O,
}

#[cfg(test)]
pub(crate) mod tests;
