/* planted.h: faults that the simulation plants into the deciders of voting, to see that it finds them
 * (tests/sim/README.md). In a build that is not for that there is none: PLANTED() is false, and costs nothing.
 */
#ifndef KVNODE_CLUSTER_PLANTED_H
#define KVNODE_CLUSTER_PLANTED_H

enum planted {
    PLANTED_NONE,
    PLANTED_LATE_PRE_VOTE_COUNTS,
    PLANTED_OLD_LINK_OUTLIVES_A_VOTE,
    PLANTED_VOTE_NOT_KEPT,
    PLANTED_TERM_NOT_KEPT_BEFORE_AN_ACK,
    PLANTED_OLD_TERM_COMMITTED_BY_COUNTING,
    PLANTED_FORGETFUL_COUNTS_AS_FIRM,
    PLANTED_FORGETFULNESS_IS_FORGOTTEN,
    PLANTED_FIRM_AT_APPLIED,
    PLANTED_TERM_NOT_SYNCED,
    PLANTED_HELD_LET_GO_EARLY,
    PLANTED_READ_WITHOUT_ROUND,
    PLANTED_TWO_CHANGES_AT_ONCE,
    PLANTED_ACK_BEFORE_THE_WRITE,
    PLANTED_ARRIVING_STATE_IS_A_POSITION,
    PLANTED_NO_PRE_VOTE,
    PLANTED_LAST_OF_VOTING = PLANTED_NO_PRE_VOTE,
};

#ifdef KVNODE_PLANTED
extern enum planted planted_fault; /* the simulation's */
#define PLANTED(fault) (planted_fault == (fault))
#else
#define PLANTED(fault) (0)
#endif

#endif
