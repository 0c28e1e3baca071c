//! Enums whose variants have names that people write.

/// An enum with `ALL`, `NAMES` in the same order, `name` and `from_name`.
macro_rules! named {
    ($(#[$doc:meta])* pub enum $type:ident { $($(#[$about:meta])* $id:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type {
            $($(#[$about])* $id,)+
        }

        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$id),+];

            /// Their names, in the same order.
            pub const NAMES: &[&str] = &[$($name),+];

            /// The name in the configuration and in the README.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$id => $name,)+
                }
            }

            /// The one of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

pub(crate) use named;
