import { type Rows } from './world.ts'

const outsider = 'it concerns the caller only, and the blocked user need not be known'

export const blocks: Rows = {
  'GET /blocks': { success: { 200: ({ alice }) => alice.get('/blocks') }, outsider },
  'PUT /blocks/{user_id}': {
    success: { 204: ({ mallory }) => mallory.put('/blocks/nobody') },
    problems: {
      invalid_block: ({ mallory }) => mallory.put(`/blocks/${mallory.id}`),
      too_many_blocks: 'takes 10,000 blocks; test/api/routes/blocks.test.ts has the limit'
    },
    outsider
  },
  'DELETE /blocks/{user_id}': {
    success: { 204: ({ mallory }) => mallory.delete('/blocks/nobody') },
    problems: { invalid_block: ({ mallory }) => mallory.delete(`/blocks/${mallory.id}`) },
    outsider
  }
}
