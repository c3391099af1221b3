// Copyright The Slipway Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types of every kind, after kstatus (sigs.k8s.io/cli-utils), so that GitOps tools wait correctly.
const (
	// ConditionReady is True when the object is what its spec asks for, Unknown while that is not known yet.
	ConditionReady = "Ready"
	// ConditionReconciling is True while the controller works on the object.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when nothing more will happen without a person.
	ConditionStalled = "Stalled"
)

// Condition types of a Service.
const (
	// ConditionReleaseNeeded is True when the Service was edited so that only a new Release brings the edit to the hosts.
	ConditionReleaseNeeded = "ReleaseNeeded"
	// ConditionDiverged is True when a person's Release runs instead of spec.revision.
	ConditionDiverged = "Diverged"
	// ConditionAdoptionRequired is True when hosts or records of an earlier Service object wait for a person's consent.
	ConditionAdoptionRequired = "AdoptionRequired"
	// ConditionDiscovered is True when every source of hosts was read, False when one can't be read: the hosts last known
	// are kept.
	ConditionDiscovered = "Discovered"
	// ConditionNotifying is False when a notification of the Service can't be made; absent if all can.
	ConditionNotifying = "Notifying"
	// ConditionDriftStorm is True when more hosts drifted at once than maxUnavailable, so that repair waits for a person.
	ConditionDriftStorm = "DriftStorm"
)

// Condition types of a Release, one per phase, then its end.
const (
	// ConditionResolved is True when the revision is pinned to a commit and the Service is frozen.
	ConditionResolved = "Resolved"
	// ConditionBuilt is True when the build ended well, or was not needed.
	ConditionBuilt = "Built"
	// ConditionPublished is True when the depot holds the artifact.
	ConditionPublished = "Published"
	// ConditionRolledOut is True when every Target runs the artifact.
	ConditionRolledOut = "RolledOut"
	// ConditionVerified is True when the Targets were seen well after the rollout.
	ConditionVerified = "Verified"
	// ConditionFinished is True on every outcome.
	ConditionFinished = "Finished"
	// ConditionSucceeded is True on success and False on every other outcome.
	ConditionSucceeded = "Succeeded"
)

// Condition types of a Target.
const (
	// ConditionReachable is True when the host answered over SSH.
	ConditionReachable = "Reachable"
	// ConditionAvailable is True when the host serves a complete artifact, whichever that is, and is not known to be unhealthy.
	ConditionAvailable = "Available"
	// ConditionDrifted is True when the host's files are not what was delivered.
	ConditionDrifted = "Drifted"
	// ConditionPruned is False when old releases on the host could not be removed.
	ConditionPruned = "Pruned"
)

// Reasons that several kinds share. Event reasons are the same words.
const (
	// ReasonProgressing says that the controller works on it.
	ReasonProgressing = "Progressing"
	// ReasonSucceeded says that it ended well.
	ReasonSucceeded = "Succeeded"
	// ReasonFailed says that it ended badly; the message says how.
	ReasonFailed = "Failed"
	// ReasonPaused says that a person paused it.
	ReasonPaused = "Paused"
	// ReasonLocked says that a lock of the Service or its namespace keeps the rollout from beginning.
	ReasonLocked = "Locked"
	// ReasonWindowClosed says that the rollout begins when a window of the Service opens.
	ReasonWindowClosed = "WindowClosed"
	// ReasonAwaitingApproval says that the rollout goes on when people have approved.
	ReasonAwaitingApproval = "AwaitingApproval"
	// ReasonApproved says that people approved that the rollout goes on.
	ReasonApproved = "Approved"
	// ReasonRollbackRequested says that a person wants the Targets returned.
	ReasonRollbackRequested = "RollbackRequested"
	// ReasonOverridden says that a person let the Release through a lock or a closed window.
	ReasonOverridden = "Overridden"
	// ReasonAborted says that a person aborted it.
	ReasonAborted = "Aborted"
	// ReasonSuperseded says that a newer Release took its place.
	ReasonSuperseded = "Superseded"
	// ReasonRolledBack says that the hosts were returned to the Release before.
	ReasonRolledBack = "RolledBack"
	// ReasonUpToDate says that everything runs what it should run.
	ReasonUpToDate = "UpToDate"
	// ReasonNotStarted says that the phase has not begun.
	ReasonNotStarted = "NotStarted"
	// ReasonDeleted says that the object is being deleted.
	ReasonDeleted = "Deleted"
)

// Reasons of a Service.
const (
	// ReasonNoTargets says that the Service's sources name no host.
	ReasonNoTargets = "NoTargets"
	// ReasonDiscovering says that the hosts are being looked for.
	ReasonDiscovering = "Discovering"
	// ReasonDiscoveryFailed says that a source can't be read; the message has the provider's error code.
	ReasonDiscoveryFailed = "DiscoveryFailed"
	// ReasonNotReleased says that no Release of the Service has completed yet.
	ReasonNotReleased = "NotReleased"
	// ReasonRollingOut says that a Release is being rolled out.
	ReasonRollingOut = "RollingOut"
	// ReasonTargetsNotReady says that some Targets do not run what they should run.
	ReasonTargetsNotReady = "TargetsNotReady"
	// ReasonSpecEdited says that source, build, deploy or rollout differ from what the current Release froze.
	ReasonSpecEdited = "SpecEdited"
	// ReasonReleasedByPerson says that a person's Release is newer than the one made for spec.revision.
	ReasonReleasedByPerson = "ReleasedByPerson"
	// ReasonForeignOwner says that hosts carry the marker of another Service object or another Slipway.
	ReasonForeignOwner = "ForeignOwner"
	// ReasonTooManyDrifted says that more hosts drifted at once than may be unavailable.
	ReasonTooManyDrifted = "TooManyDrifted"
	// ReasonReleaseCreated says that a Release was made for a changed spec.revision.
	ReasonReleaseCreated = "ReleaseCreated"
	// ReasonReleaseFailed says that the Release made for spec.revision did not succeed.
	ReasonReleaseFailed = "ReleaseFailed"
	// ReasonMixed says that Targets run different artifacts because a rollout ended half-way.
	ReasonMixed = "Mixed"
	// ReasonNotPermitted says that no TargetPolicy permits a host, its SSH user or its path.
	ReasonNotPermitted = "NotPermitted"
	// ReasonLeftOut says that hosts were left out: two sources name the same one, or an instance lacks its address.
	ReasonLeftOut = "LeftOut"
	// ReasonTargetsReleased says that the records of a deleted Service's hosts were removed and no host was touched.
	ReasonTargetsReleased = "TargetsReleased"
	// ReasonLaunchContinued says that Auto Scaling was told that an instance may go into service.
	ReasonLaunchContinued = "LaunchContinued"
	// ReasonLaunchAbandoned says that Auto Scaling was told to replace an instance that could not take its release.
	ReasonLaunchAbandoned = "LaunchAbandoned"
	// ReasonLaunchHeld says that an instance is kept from going into service until it runs what it should.
	ReasonLaunchHeld = "LaunchHeld"
	// ReasonAbandonWithheld says why an instance that could not take its release is not replaced.
	ReasonAbandonWithheld = "AbandonWithheld"
	// ReasonTerminationContinued says that Auto Scaling was told that an instance may end.
	ReasonTerminationContinued = "TerminationContinued"
	// ReasonLifecycleFailed says that Auto Scaling refused a call, or did not answer; the message has AWS's error code.
	ReasonLifecycleFailed = "LifecycleFailed"
	// ReasonTemplateInvalid says that the template of a notification can't be used.
	ReasonTemplateInvalid = "TemplateInvalid"
	// ReasonNotificationFailed says that a place outside could not be told of a Release.
	ReasonNotificationFailed = "NotificationFailed"
	// ReasonWaveStarted says that a wave of Targets began to move.
	ReasonWaveStarted = "WaveStarted"
)

// Reasons of a Release.
const (
	// ReasonPending says that the controller has not looked at the object yet.
	ReasonPending = "Pending"
	// ReasonServiceNotFound says that no Service of that name is in the namespace.
	ReasonServiceNotFound = "ServiceNotFound"
	// ReasonServiceReplaced says that the Service it was bound to is gone and another has its name.
	ReasonServiceReplaced = "ServiceReplaced"
	// ReasonAdoptionRequired says that the record was re-created and does nothing until a person makes a new one.
	ReasonAdoptionRequired = "AdoptionRequired"
	// ReasonRevisionNotFound says that the repository has no such branch, tag or commit.
	ReasonRevisionNotFound = "RevisionNotFound"
	// ReasonRepositoryUnreachable says that git could not read the repository.
	ReasonRepositoryUnreachable = "RepositoryUnreachable"
	// ReasonSourceRefused says that the repository's URL or protocol is not allowed here.
	ReasonSourceRefused = "SourceRefused"
	// ReasonSecretNotFound says that a Secret or one of its keys is missing.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonImageNotFound says that the build image does not exist or cannot be pulled.
	ReasonImageNotFound = "ImageNotFound"
	// ReasonRegistryUnreachable says that the build image's registry does not answer.
	ReasonRegistryUnreachable = "RegistryUnreachable"
	// ReasonBuilding says that the build runs.
	ReasonBuilding = "Building"
	// ReasonPlanned says that the Release only asked what it would do: nothing was done.
	ReasonPlanned = "Planned"
	// ReasonAwaitingPromotion says that another Service has to release the same commit first.
	ReasonAwaitingPromotion = "AwaitingPromotion"
	// ReasonPromotionRefused says that the other Service did not take it, or went back from it.
	ReasonPromotionRefused = "PromotionRefused"
	// ReasonPromoted says that the artifact of another Service was taken over.
	ReasonPromoted = "Promoted"
	// ReasonArtifactReused says that the depot already held the artifact.
	ReasonArtifactReused = "ArtifactReused"
	// ReasonBuildFailed says that the build script failed.
	ReasonBuildFailed = "BuildFailed"
	// ReasonBuildTimedOut says that the build took longer than build.timeout.
	ReasonBuildTimedOut = "BuildTimedOut"
	// ReasonFetchFailed says that the source could not be brought into the build.
	ReasonFetchFailed = "FetchFailed"
	// ReasonPublishFailed says that the artifact was refused by the depot or could not be brought there.
	ReasonPublishFailed = "PublishFailed"
	// ReasonArtifactRefused says that the artifact breaks a rule: it is empty, or holds something not allowed.
	ReasonArtifactRefused = "ArtifactRefused"
	// ReasonArtifactShrunk says that the artifact has less than half the files of the last one.
	ReasonArtifactShrunk = "ArtifactShrunk"
	// ReasonDepotUnavailable says that the depot does not answer.
	ReasonDepotUnavailable = "DepotUnavailable"
	// ReasonWaitingForSlot says that another Release of the Service is being rolled out.
	ReasonWaitingForSlot = "WaitingForSlot"
	// ReasonTooManyFailed says that more Targets failed to take the Release than rollout.maxFailed allows.
	ReasonTooManyFailed = "TooManyFailed"
	// ReasonRollingBack says that the Targets which were switched return to the Release before.
	ReasonRollingBack = "RollingBack"
	// ReasonRollbackIncomplete says that not every Target could be returned to the Release before in time.
	ReasonRollbackIncomplete = "RollbackIncomplete"
	// ReasonBaking says that the Targets are watched for rollout.bakeTime.
	ReasonBaking = "Baking"
	// ReasonHookRunning says that a hook runs once for the whole Release.
	ReasonHookRunning = "HookRunning"
	// ReasonHookUnknown says that nobody can tell whether, or how, a hook ended that runs once.
	ReasonHookUnknown = "HookUnknown"
	// ReasonStepPause says that the rollout is at a pause between two of its steps.
	ReasonStepPause = "StepPause"
	// ReasonProgressDeadlineExceeded says that no Target became ready for longer than rollout.progressDeadline.
	ReasonProgressDeadlineExceeded = "ProgressDeadlineExceeded"
)

// Reasons of a Target.
const (
	// ReasonProbing says that the host has not been looked at yet.
	ReasonProbing = "Probing"
	// ReasonUnreachable says that the host does not answer over SSH.
	ReasonUnreachable = "Unreachable"
	// ReasonHostKeyMismatch says that the host showed another key than the pinned one.
	ReasonHostKeyMismatch = "HostKeyMismatch"
	// ReasonRepinned says that a person consented to another host key.
	ReasonRepinned = "Repinned"
	// ReasonHostKeyUnknown says that no key of the host is listed.
	ReasonHostKeyUnknown = "HostKeyUnknown"
	// ReasonLoginRefused says that the host did not accept the user or its key.
	ReasonLoginRefused = "LoginRefused"
	// ReasonNothingDelivered says that nothing was delivered to the host yet.
	ReasonNothingDelivered = "NothingDelivered"
	// ReasonDelivering says that a delivery is under way.
	ReasonDelivering = "Delivering"
	// ReasonDeliveryFailed says that a delivery failed; the message says at which step.
	ReasonDeliveryFailed = "DeliveryFailed"
	// ReasonFencedOff says that the host has seen a higher fence than this delivery's.
	ReasonFencedOff = "FencedOff"
	// ReasonContentChanged says that files of the live release were changed on the host.
	ReasonContentChanged = "ContentChanged"
	// ReasonLinkMoved says that the link "current" does not point to what was delivered.
	ReasonLinkMoved = "LinkMoved"
	// ReasonWaitingForWave says that the host waits for its turn.
	ReasonWaitingForWave = "WaitingForWave"
	// ReasonHookFailed says that a hook failed on the host.
	ReasonHookFailed = "HookFailed"
	// ReasonPathRefused says that the destination on the host is not safe to use.
	ReasonPathRefused = "PathRefused"
	// ReasonExistingContent says that the destination holds files which Slipway did not put there.
	ReasonExistingContent = "ExistingContent"
	// ReasonDiskFull says that the host, or the depot, has not enough free space or inodes.
	ReasonDiskFull = "DiskFull"
	// ReasonVerifyFailed says that what arrived differs from the artifact's manifest.
	ReasonVerifyFailed = "VerifyFailed"
	// ReasonTimedOut says that the delivery took longer than deploy.timeout.
	ReasonTimedOut = "TimedOut"
)
