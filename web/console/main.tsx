import { render } from 'preact'
import { readSettings } from '../settings.ts'
import '../style/base.css'
import '../style/console.css'
import { App } from './app.tsx'

const root = document.getElementById('root')!
readSettings().then(
  settings => render(<App settings={settings} />, root),
  (error: Error) =>
    render(<p class='trouble' role='alert'>The console cannot start: {error.message}</p>, root)
)
