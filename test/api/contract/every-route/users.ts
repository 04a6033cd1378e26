import { PNG, upload } from '../../attachments/uploads.ts'
import { type Rows } from './world.ts'

export const users: Rows = {
  'GET /users/me': {
    success: { 200: ({ alice }) => alice.get('/users/me') },
    outsider: 'it is always the caller'
  },
  'PUT /users/me': {
    success: { 200: ({ alice }) => alice.put('/users/me', { name: 'Alice' }) },
    problems: {
      avatar_not_an_image: async ({ alice }) =>
        alice.put('/users/me', { avatar: (await upload(alice, 'text')).body.id }),
      unknown_attachment: async ({ alice, bob }) =>
        alice.put('/users/me', { avatar: (await upload(bob, PNG)).body.id }),
      invalid_name: ({ alice }) => alice.put('/users/me', { name: ' ' }),
      invalid_text: ({ alice }) => alice.put('/users/me', { name: '\0' })
    },
    outsider: 'it is always the caller'
  },
  'GET /users/{id}': {
    success: { 200: ({ alice, bob }) => alice.get(`/users/${bob.id}`) },
    problems: { user_not_found: ({ alice }) => alice.get('/users/nobody') },
    outsider: ['user_not_found', ({ mallory, bob }) => mallory.get(`/users/${bob.id}`)]
  },
  'GET /users/{id}/presence': {
    success: { 200: ({ alice, bob }) => alice.get(`/users/${bob.id}/presence`) },
    problems: { user_not_found: ({ alice }) => alice.get('/users/nobody/presence') },
    outsider: ['user_not_found', ({ mallory, bob }) => mallory.get(`/users/${bob.id}/presence`)]
  }
}
