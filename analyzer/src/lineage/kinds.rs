//! Kinds of nodes.

/// Kinds of things between which data go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeKind {
    /// A process between two programs that it executed.
    Process,
    /// The contents of a file.
    File,
    /// A pipe without a name.
    Pipe,
    /// A pipe with a name.
    Fifo,
    /// The bytes that wait in a socket.
    Socket,
    /// A message queue.
    Queue,
    /// An address outside of the machine.
    Address,
}

impl NodeKind {
    /// All kinds of nodes.
    pub const ALL: [Self; 7] =
        [Self::Process, Self::File, Self::Pipe, Self::Fifo, Self::Socket, Self::Queue, Self::Address];

    /// Returns the name of the kind, with which identities of its nodes begin.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::File => "file",
            Self::Pipe => "pipe",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Queue => "queue",
            Self::Address => "address",
        }
    }

    /// Returns the kind of the node that an identity names, such as `process:12-345/0`; `None` if it is not one of a node.
    pub fn of_id(id: &str) -> Option<Self> {
        let (name, _) = id.split_once(':')?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
