import { type Rows } from './world.ts'

const open = 'it is open to all, without a token'

export const operations: Rows = {
  'GET /health': { success: { 200: ({ api }) => api.anonymous().get('//health') }, outsider: open },
  'GET /ready': { success: { 200: ({ api }) => api.anonymous().get('//ready') }, outsider: open },
  'GET /metrics': { success: { 200: ({ api }) => api.anonymous().get('//metrics') }, outsider: open }
}
