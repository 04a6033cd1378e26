/** What there is and who is there, of all nodes, for administrators. */
import { type Database } from '../../store/database.ts'
import { readStatistics, type StoredStatistics } from '../../store/statistics.ts'
import { type Cluster } from '../cluster/cluster.ts'
import { type Answers, type Totals } from '../cluster/questions.ts'

export interface Statistics { stored: StoredStatistics, nodes: Answers<Totals> }

export async function gatherStatistics (
  database: Database, cluster: Pick<Cluster, 'ask'>
): Promise<Statistics> {
  const [stored, nodes] = await Promise.all([readStatistics(database.autocommit), cluster.ask('totals', {})])
  return { stored, nodes }
}
