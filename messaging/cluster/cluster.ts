/**
 * The other nodes, as messaging sees them: who has sessions where, and how they
 * are told. Everything here is a hint; PostgreSQL decides, and what gets lost
 * on the way is found by the sweep.
 */
import { type Revocation } from '../../store/people/revocations.ts'
import { type Answering, type Answers, type Kind, type Questions } from './questions.ts'
import { type WakeEvent } from '../deliver/wakes.ts'

/** One device's connection was opened; an older one of the same device, wherever it is, has to go. */
export interface Opening { userId: string, deviceId: string, lease: number }

export interface ClusterEvents {
  wake (events: WakeEvent[]): void
  live (userIds: string[], payload: Buffer): void
  opened (opening: Opening): void
  revoked (revocation: Revocation): void
  pushDue (): void
  /** Users who were online on a node that is gone; told to one of the others. */
  abandoned (userIds: string[]): void
  /** Users online here whose entry was missing, because this node was taken for gone or Redis was emptied. */
  reappeared (userIds: string[]): void
  /** Copies for observers of this node. */
  observe (events: WakeEvent[]): void
  observeLive (userIds: string[], payload: Buffer): void
  /** What this node says when it is asked. */
  answers: Answering
}

/** What this node holds, for registering it and for registering it again. */
export interface Holdings {
  /** Users with a listener here. */
  listening (): string[]
  /** Those of them with a session that acknowledges. */
  tracked (): string[]
  /** Users who are online through this node. */
  online (): string[]
  observed (): boolean
}

export interface GoneNodes {
  /** They have stopped. */
  left: string[]
  /** Their leases have run out. */
  lost: string[]
}

export interface Cluster extends AsyncDisposable {
  /** Where it runs, and something that no other process there has. */
  readonly nodeId: string
  /** Begins to listen; what arrives goes to `events`. */
  join (events: ClusterEvents, holdings: Holdings): Promise<void>
  /** Users of these with a tracked session on another node; undefined when that cannot be told now. */
  trackedElsewhere (userIds: string[]): Promise<Set<string> | undefined>
  /**
   * These users came online here. Resolves to those who had an entry of any node before;
   * undefined when that cannot be told now.
   */
  arrived (userIds: string[]): Promise<Set<string> | undefined>
  /**
   * These users are no longer online through this node. Resolves to those who are on another one;
   * undefined as above.
   */
  departed (userIds: string[]): Promise<Set<string> | undefined>
  /** Users of these who are online on another node; undefined as above. */
  onlineElsewhere (userIds: string[]): Promise<Set<string> | undefined>
  /** The user's listeners or sessions on this node came or went. */
  changed (userId: string, kind: 'listening' | 'tracked', present: boolean): void
  /** Resolves when those comings and goings are told, or could not be. */
  told (): Promise<void>
  observing (present: boolean): void
  wake (events: WakeEvent[]): void
  live (userIds: string[], payload: Buffer): void
  opened (opening: Opening): void
  revoked (revocation: Revocation): void
  pushDue (): void
  /** Asks every node, this one included; resolves within ANSWER_WITHIN_MS with what came. */
  ask<K extends Kind> (about: K, asks: Questions[K]['asks']): Promise<Answers<Questions[K]['answer']>>
  /**
   * Called when other nodes are gone: no process watches their sessions any more. Without names
   * when Redis was emptied, and nobody knows who is gone.
   */
  onNodesGone (listener: (nodes: GoneNodes) => void): void
  state (): 'alone' | 'connected' | 'away'
}

/** A node without others. */
export function alone (): Cluster {
  let own: ClusterEvents | undefined
  return {
    nodeId: 'alone',
    join: async events => { own = events },
    trackedElsewhere: async () => new Set(),
    arrived: async () => new Set(),
    departed: async () => new Set(),
    onlineElsewhere: async () => new Set(),
    changed () {},
    async told () {},
    observing () {},
    wake () {},
    live () {},
    opened () {},
    revoked () {},
    pushDue () {},
    ask: async (about, asks) =>
      ({ answers: [{ node: 'alone', answer: own!.answers[about](asks) }], silent: [], nodesKnown: true }),
    onNodesGone () {},
    state: () => 'alone',
    async [Symbol.asyncDispose] () {}
  }
}
