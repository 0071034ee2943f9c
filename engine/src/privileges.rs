//! What a monitor may do once it is bound: what anybody may, and nothing more.
//!
//! Low ports and large receive buffers take capabilities; judging heartbeats takes none. So they are laid
//! down between the one and the other, in a process that has a single thread yet, as each thread has its own and
//! new ones have what their maker had. Nothing that is started later can win them back.

#[cfg(target_os = "linux")]
use anyhow::Context;

/// Lays down every capability of this thread, and the way to any by starting another program. Tells which it had.
///
/// # Errors
/// The system won't have it.
#[cfg(target_os = "linux")]
pub fn lay_down() -> anyhow::Result<Vec<String>> {
    use rustix::thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs,
    };

    set_no_new_privs(true).context("no_new_privs")?;
    let had = capabilities(None).context("capget")?;
    for capability in CapabilitySet::all().iter().filter(|_| had.effective.contains(CapabilitySet::SETPCAP)) {
        // Those that this kernel doesn't know it can't grant either.
        let _ = remove_capability_from_bounding_set(capability);
    }
    // Kernels without an ambient set have nothing in it.
    let _ = clear_ambient_capability_set();
    // Where there is nothing to lay down, laying down may be forbidden as well.
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    if had != none {
        set_capabilities(None, none).context("capset")?;
    }
    Ok(had.permitted.iter_names().map(|(name, _)| format!("cap_{}", name.to_lowercase())).collect())
}

/// Elsewhere there are none.
///
/// # Errors
/// Never.
#[cfg(not(target_os = "linux"))]
pub fn lay_down() -> anyhow::Result<Vec<String>> {
    Ok(Vec::new())
}
