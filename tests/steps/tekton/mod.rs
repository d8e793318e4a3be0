//! The Tasks, StepActions and Pipelines: judged by Tekton's own admission, and run by its own controller's code and
//! entrypoint, without a cluster.

mod credentials;
mod judged;
mod pipelines;
mod tasks;
mod values;
