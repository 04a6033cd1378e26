import { type Rows } from './world.ts'

export const admin: Rows = {
  'GET /admin/sessions': {
    success: { 200: ({ root }) => root.get('/admin/sessions?limit=5') },
    problems: { admin_required: ({ alice }) => alice.get('/admin/sessions') },
    outsider: ['admin_required', ({ mallory }) => mallory.get('/admin/sessions')]
  },
  'GET /admin/pushes': {
    success: { 200: ({ root }) => root.get('/admin/pushes') },
    problems: { admin_required: ({ alice }) => alice.get('/admin/pushes') },
    outsider: ['admin_required', ({ mallory }) => mallory.get('/admin/pushes')]
  },
  'GET /admin/users/{id}/sessions': {
    success: { 200: ({ root, alice }) => root.get(`/admin/users/${alice.id}/sessions`) },
    problems: {
      admin_required: ({ alice }) => alice.get(`/admin/users/${alice.id}/sessions`),
      user_not_found: ({ root }) => root.get('/admin/users/nobody/sessions')
    },
    outsider: ['admin_required', ({ mallory, alice }) => mallory.get(`/admin/users/${alice.id}/sessions`)]
  },
  'POST /admin/users/{id}/disconnect': {
    success: {
      200: ({ root, alice }) => root.post(`/admin/users/${alice.id}/disconnect`, { device_id: 'phone' })
    },
    problems: {
      invalid_text: ({ root, alice }) =>
        root.post(`/admin/users/${alice.id}/disconnect`, { device_id: 'a\0' }),
      admin_required: ({ alice }) => alice.post(`/admin/users/${alice.id}/disconnect`),
      user_not_found: ({ root }) => root.post('/admin/users/nobody/disconnect')
    },
    outsider: ['admin_required', ({ mallory, alice }) => mallory.post(`/admin/users/${alice.id}/disconnect`)]
  },
  'POST /admin/users/{id}/erase': {
    success: {
      202: async ({ api, root }) => {
        const gone = await api.user('gone')
        await gone.get('/users/me')
        return await root.post(`/admin/users/${gone.id}/erase`)
      }
    },
    problems: {
      admin_required: ({ alice, bob }) => alice.post(`/admin/users/${bob.id}/erase`),
      user_not_found: ({ root }) => root.post('/admin/users/nobody/erase')
    },
    outsider: ['admin_required', ({ mallory, alice }) => mallory.post(`/admin/users/${alice.id}/erase`)]
  },
  'GET /admin/users/{id}/erasure': {
    success: {
      200: async ({ api, root }) => {
        const gone = await api.user('gone')
        await gone.get('/users/me')
        await root.post(`/admin/users/${gone.id}/erase`)
        return await root.get(`/admin/users/${gone.id}/erasure`)
      }
    },
    problems: {
      admin_required: ({ alice, bob }) => alice.get(`/admin/users/${bob.id}/erasure`),
      erasure_not_found: ({ root, alice }) => root.get(`/admin/users/${alice.id}/erasure`)
    },
    outsider: ['admin_required', ({ mallory, alice }) => mallory.get(`/admin/users/${alice.id}/erasure`)]
  },
  'GET /admin/statistics': {
    success: { 200: ({ root }) => root.get('/admin/statistics') },
    problems: { admin_required: ({ alice }) => alice.get('/admin/statistics') },
    outsider: ['admin_required', ({ mallory }) => mallory.get('/admin/statistics')]
  },
  'GET /admin/audit-log': {
    success: { 200: ({ root }) => root.get('/admin/audit-log') },
    problems: { admin_required: ({ alice }) => alice.get('/admin/audit-log') },
    outsider: ['admin_required', ({ mallory, alice }) => mallory.get(`/admin/audit-log?user_id=${alice.id}`)]
  },
  'POST /admin/users/{id}/revoke': {
    success: {
      204: async ({ api, root }) => {
        const victim = await api.user('victim')
        await victim.get('/users/me')
        return await root.post(`/admin/users/${victim.id}/revoke`)
      }
    },
    problems: {
      admin_required: ({ alice }) => alice.post(`/admin/users/${alice.id}/revoke`),
      user_not_found: ({ root }) => root.post('/admin/users/nobody/revoke')
    },
    outsider: ['admin_required', ({ mallory, alice }) => mallory.post(`/admin/users/${alice.id}/revoke`)]
  }
}
