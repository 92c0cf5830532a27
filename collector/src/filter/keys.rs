//! Names of the settings that a pattern filter has.

/// Settings that apply even without `enable_customize_exclude`.
pub(super) const OWN_KEYS: [&str; 5] =
    ["re_exclude_fname", "re_exclude_comm", "exclude_pid", "exclude_uid", "exclude_gid"];

/// Names of the settings that a pattern filter has.
pub(super) const PATTERN_KEYS: &str = "`kind`, `disabled`, `tracers`, `drop`, `keep`, `ignore_current_pid`, \
     `enable_customize_exclude`, `exclude_<field>`, `re_exclude_<field>`";
